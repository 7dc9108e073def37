package eplb

import (
	"strconv"
	"strings"
)

// Strategy is how replicas are counted and placed. The zero value means the library's default, which is StrategyBest.
// Names are read in upper and lower case, so a flag's value will do.
type Strategy string

// The strategies; some may be ErrUnavailable in an old library.
const (
	StrategyGreedy         Strategy = "greedy"          // the published EPLB program in its own float32, its sorts made stable
	StrategyLPTSwap        Strategy = "lpt_swap"        // longest first, then the best swaps of the heaviest GPU
	StrategyL2Swap         Strategy = "l2_swap"         // longest first, then the swaps that lessen the squared loads most
	StrategyRandomRestarts Strategy = "random_restarts" // 4 noisy orders, swaps between the heaviest and the lightest GPU
	StrategyNoiseSpectrum  Strategy = "noise_spectrum"  // 64 orders from no noise to much
	StrategyHybridInit     Strategy = "hybrid_init"     // 128 starts: noisy, shuffled, folded
	StrategyBest           Strategy = "best"            // tabu search with changing replica counts
)

// Effort is how much work StrategyBest may do: a number of rounds, never a time. The other strategies ignore it. The zero
// value means the library's default, which is EffortNormal.
type Effort string

// The efforts, least first.
const (
	EffortFast   Effort = "fast"
	EffortNormal Effort = "normal"
	EffortMax    Effort = "max"
)

// Policy is whether the replicas of a group of experts must stay on one node. The zero value means the library's default,
// which is PolicyAuto.
type Policy string

// The policies.
const (
	PolicyAuto         Policy = "auto"         // hierarchical if NumGroups is a multiple of NumNodes, else global
	PolicyHierarchical Policy = "hierarchical" // whole groups on nodes, replicas stay on their group's node
	PolicyGlobal       Policy = "global"       // any replica on any GPU; nodes and groups need not fit
)

// PolicyReason is why a report's policy was used.
type PolicyReason string

// The reasons.
const (
	ReasonAsked        PolicyReason = "asked"         // the problem named it
	ReasonGroupsDivide PolicyReason = "groups_divide" // auto, and NumGroups is a multiple of NumNodes
	ReasonGroupsDoNot  PolicyReason = "groups_do_not" // auto, and it is not
)

// BoundKind is which proven lower bound on the largest load a gap is measured against. None depends on the strategy. The
// zero value means the library's default, which is BoundSimple.
type BoundKind string

// The kinds of bounds.
const (
	BoundSimple    BoundKind = "simple"    // the largest of: mean load, largest replica of the best counts, pigeonhole
	BoundThreshold BoundKind = "threshold" // two slots per GPU: how many replicas are too large for partners; slower, closer
	BoundNode      BoundKind = "node"      // reported, not asked for: under a hierarchical policy, by the load of nodes too
)

// names of constants by their value in C. A test compares them with the header.
type names []string

var (
	strategyNames = names{"greedy", "lpt_swap", "l2_swap", "random_restarts", "noise_spectrum", "hybrid_init", "best"}
	effortNames   = names{"fast", "normal", "max"}
	policyNames   = names{"auto", "hierarchical", "global"}
	reasonNames   = names{"asked", "groups_divide", "groups_do_not"}
	boundNames    = names{"simple", "threshold", "node"}
	deviceNames   = names{"cpu", "cuda"}
)

// of returns the name of a value; the number itself for one of a later library.
func (n names) of(value int32) string {
	if value >= 0 && int(value) < len(n) {
		return n[value]
	}
	return strconv.Itoa(int(value))
}

// set writes the value of a name to a field of a C struct; an empty name leaves the default there.
func (n names) set(field *int32, argument, name string) error {
	if name == "" {
		return nil
	}
	for value, each := range n {
		if strings.EqualFold(each, name) {
			*field = int32(value)
			return nil
		}
	}
	return errorf(ErrInvalidArgument, "%s is '%s', must be one of %s", argument, name, strings.Join(n, ", "))
}
