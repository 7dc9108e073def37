// The functions of eplb.h: which statuses each may return, and how often each was called.
#pragma once

#include <cstdint>
#include <string>

#include "eplb.h"

namespace eplb::fuzz {

enum class Call {
  kAbiVersion,
  kVersionString,
  kStatusName,
  kBackendInit,
  kBackendInfo,
  kDeviceCount,
  kDeviceName,
  kContextOptionsInit,
  kContextCreate,
  kContextDestroy,
  kContextInterrupt,
  kContextSynchronize,
  kContextReserve,
  kUploadWeights,
  kUploadWeightsDevice,
  kUploadCluster,
  kUploadPrices,
  kUploadWindowWeights,
  kUploadPlacement,
  kUploadPlacementDevice,
  kProblemInit,
  kSolveOptionsInit,
  kSolve,
  kSolveDevice,
  kMapShape,
  kFetchMap,
  kFetchMapDevice,
  kFingerprint,
  kReportInit,
  kFetchReport,
  kEvaluate,
  kEvaluateWindows,
  kPlanTransfers,
  kSplitOptionsInit,
  kSplitPrepare,
  kSplitPrepareDevice,
  kSplit,
  kSplitDevice,
  kStaticDispatchOptionsInit,
  kStaticDispatch,
  kCount
};

const char* name_of(Call call);

// Counts calls, and what one returned.
void note(Call call, int64_t times = 1);
void note_answer(Call call, eplb_status status);
int64_t calls_so_far();

// May the function return this of an undisturbed call on a CPU context, which one thread uses?
bool may_return(Call call, eplb_status status);

// A table of all functions: calls, and statuses that were seen; for a person.
std::string table_of_calls();

}  // namespace eplb::fuzz
