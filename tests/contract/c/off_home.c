#include "off_home.h"

#include <math.h>
#include <stdlib.h>

#include "harness.h"

/* The slowest that a GPU counts as, as a share of the fastest. */
static const double kSlowest = 1.0 / 65536;

static int64_t groups_of(const input *in) {
  return in->problem.num_groups == 0 ? 1 : in->problem.num_groups;
}

static int64_t node_of(const input *in, const cluster *gpus, int64_t gpu) {
  if (gpus != NULL && gpus->nodes != NULL) return gpus->nodes[gpu];
  return gpu * in->problem.num_nodes / in->problem.num_gpus;
}

static double speed_of(const cluster *gpus, int64_t gpu) {
  if (gpus != NULL && gpus->slots != NULL && gpus->slots[gpu] == 0) return 0;
  return gpus != NULL && gpus->speeds != NULL ? gpus->speeds[gpu] : 1;
}

/* What every node may carry at an imbalance of 1, as a share of the load [N]; free it. */
static double *shares_of_nodes(const input *in, const cluster *gpus) {
  double *share = calloc((size_t)in->problem.num_nodes, sizeof *share), fastest = 0, sum = 0;
  int64_t g, n;
  for (g = 0; g < in->problem.num_gpus; g++) fastest = fmax(fastest, speed_of(gpus, g));
  for (g = 0; g < in->problem.num_gpus; g++) {
    double speed = speed_of(gpus, g);
    if (speed > 0) speed = fmax(speed, fastest * kSlowest);
    share[node_of(in, gpus, g)] += speed;
    sum += speed;
  }
  for (n = 0; n < in->problem.num_nodes; n++) share[n] /= sum;
  return share;
}

/* What every node serves of every group [Q,N]; free it. */
static double *served_by_nodes(const input *in, const cluster *gpus, int64_t layer,
                               const int64_t *row) {
  int64_t nodes = in->problem.num_nodes, slots = in->problem.num_slots, groups = groups_of(in);
  int64_t per_gpu = slots / in->problem.num_gpus, e, s;
  double *served = calloc((size_t)(groups * nodes), sizeof *served);
  for (e = 0; e < in->experts; e++) {
    double *of_group = served + e * groups / in->experts * nodes;
    double count = 0, weight = input_weight(in, layer, e);
    for (s = 0; s < slots; s++) count += row[s] == e;
    for (s = 0; s < slots; s++)
      if (row[s] == e) of_group[node_of(in, gpus, s / per_gpu)] += weight / count;
  }
  return served;
}

static double price_of(const input *in, int64_t node, int64_t expert) {
  return in->prices[node * in->price_columns + expert * in->price_columns / in->experts];
}

static double highest_price(const input *in) {
  double highest = 0;
  int64_t i;
  for (i = 0; i < in->problem.num_nodes * in->price_columns; i++)
    highest = fmax(highest, in->prices[i]);
  return highest;
}

/* Of the nodes that have slots. */
static double least_price(const input *in, const cluster *gpus, int64_t expert) {
  double least = INFINITY;
  int64_t g;
  for (g = 0; g < in->problem.num_gpus; g++)
    if (speed_of(gpus, g) > 0) least = fmin(least, price_of(in, node_of(in, gpus, g), expert));
  return least;
}

static off_home paid_of(const input *in, const cluster *gpus, int64_t layer, const int64_t *row) {
  int64_t slots = in->problem.num_slots, per_gpu = slots / in->problem.num_gpus, e, s;
  double total = 0, highest = highest_price(in);
  off_home paid = {0, 0};
  for (e = 0; e < in->experts; e++) {
    double weight = input_weight(in, layer, e), count = 0, sum = 0;
    for (s = 0; s < slots; s++) {
      if (row[s] != e) continue;
      count++;
      sum += price_of(in, node_of(in, gpus, s / per_gpu), e);
    }
    total += weight;
    paid.share += weight * sum / count / highest;
    paid.bound += weight * least_price(in, gpus, e) / highest;
  }
  if (total > 0) {
    paid.share /= total;
    paid.bound /= total;
  }
  return paid;
}

static off_home away_of(const input *in, const cluster *gpus, int64_t layer, const int64_t *row,
                        int64_t *homes) {
  int64_t nodes = in->problem.num_nodes, groups = groups_of(in), q, n, e;
  double *share = shares_of_nodes(in, gpus), *served = served_by_nodes(in, gpus, layer, row);
  double *at_home = calloc((size_t)nodes, sizeof *at_home), total = 0;
  off_home found = {0, 0};
  for (e = 0; e < in->experts; e++) total += input_weight(in, layer, e);
  for (q = 0; total > 0 && q < groups; q++) {
    const double *of_group = served + q * nodes;
    int64_t home = 0;
    for (n = 1; n < nodes; n++)
      if (of_group[n] > of_group[home]) home = n;
    for (n = 0; n < nodes; n++) {
      at_home[home] += of_group[n] / total;
      if (n != home) found.share += of_group[n] / total;
    }
    if (homes != NULL) homes[q] = home;
  }
  for (n = 0; n < nodes; n++)
    found.bound += fmax(0, at_home[n] - in->problem.off_home_target * share[n]);
  free(share);
  free(served);
  free(at_home);
  return found;
}

off_home off_home_of(const input *in, const cluster *gpus, int64_t layer, const int64_t *row,
                     int64_t *homes) {
  int is_priced = in->prices != NULL && in->problem.policy == EPLB_POLICY_SOFT;
  return is_priced ? paid_of(in, gpus, layer, row) : away_of(in, gpus, layer, row, homes);
}

int off_home_agrees(off_home want, double share, double bound) {
  static const double tolerance = 2e-12;
  return CHECK(share >= 0 && share <= 1) && CHECK(bound >= 0 && bound <= 1) &&
         CLOSE(1 + want.share, 1 + share, tolerance) && CLOSE(1 + want.bound, 1 + bound, tolerance);
}
