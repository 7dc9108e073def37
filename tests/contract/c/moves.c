#include "moves.h"

#include <stdlib.h>
#include <string.h>

#include "harness.h"

/* Layers are gone through slot by slot for every slot: larger ones take too long. */
enum { MOST_SLOTS = 600, MOVE_MAPS = EPLB_MAP_MOVE_COUNT - EPLB_MAP_MOVE_SOURCE + 1 };

/* A layer before and after, and what the library says of the way between. */
typedef struct change {
  const int64_t *current, *placement, *source, *round, *group;
  int64_t slots, per_gpu, gpus, nodes, moves;
  eplb_transfer_order order;
} change;

static int64_t gpu_of(const change *c, int64_t slot) { return slot / c->per_gpu; }
static int64_t node_of(const change *c, int64_t slot) {
  return gpu_of(c, slot) * c->nodes / c->gpus;
}
/* Slots from slot `from` on, below `to`, that hold an expert now. */
static int64_t holders(const change *c, int64_t expert, int64_t from, int64_t to) {
  int64_t found = 0;
  for (; from < to; from++) found += c->current[from] == expert;
  return found;
}
static int is_link(const change *c, int64_t slot) {
  return c->source[slot] >= 0 && gpu_of(c, c->source[slot]) != gpu_of(c, slot);
}

/* A source holds the expert, and is as near as any. */
static int source_holds(const change *c, int64_t slot) {
  int64_t source = c->source[slot], expert = c->placement[slot], s;
  int64_t first = slot - slot % c->per_gpu;
  if (source == -2) return EQUAL(0, holders(c, expert, 0, c->slots));
  if (!CHECK(source >= 0 && source < c->slots) || !EQUAL(expert, c->current[source])) return 0;
  if (c->current[slot] == expert) return EQUAL(slot, source);
  if (gpu_of(c, source) == gpu_of(c, slot)) return 1;
  if (!EQUAL(0, holders(c, expert, first, first + c->per_gpu))) return 0;
  for (s = 0; node_of(c, source) != node_of(c, slot) && s < c->slots; s++)
    if (!CHECK(node_of(c, s) != node_of(c, slot) || c->current[s] != expert)) return 0;
  return 1;
}

static int round_fits(const change *c, int64_t slot) {
  int64_t round = c->round[slot], least = c->order == EPLB_TRANSFER_IN_PLACE || is_link(c, slot);
  if (c->source[slot] == slot) return EQUAL(-1, round) && EQUAL(-1, c->group[slot]);
  if (c->order != EPLB_TRANSFER_IN_PLACE && !EQUAL(-1, c->group[slot])) return 0;
  return least == 0 ? EQUAL(0, round) : CHECK(round >= 1);
}

/* Whether another transfer of the round uses the same side of a GPU. */
static int links_collide(const change *c, int64_t slot, int64_t other) {
  int64_t from = gpu_of(c, c->source[slot]), to = gpu_of(c, slot);
  int64_t other_from = gpu_of(c, c->source[other]), other_to = gpu_of(c, other);
  if (from == other_from || to == other_to) return 1;
  return c->order == EPLB_TRANSFER_EXCLUSIVE && (from == other_to || to == other_from);
}

static int links_are_apart(const change *c, int64_t slot) {
  int64_t other;
  for (other = 0; other < slot; other++)
    if (is_link(c, other) && c->round[other] == c->round[slot] &&
        !CHECK(!links_collide(c, slot, other)))
      return 0;
  return 1;
}

/* In place, a slot is read before it is written, or by the last of its cycle, which was saved. */
static int reads_are_in_time(const change *c, int64_t slot) {
  int64_t source = c->source[slot], other;
  if (source < 0 || c->source[source] == source || c->round[source] > c->round[slot]) return 1;
  if (!CHECK(c->group[slot] >= 0) || !EQUAL(c->group[source], c->group[slot])) return 0;
  for (other = 0; other < c->slots; other++)
    if (c->group[other] == c->group[slot] && other != slot && other != source &&
        !CHECK(c->round[other] > c->round[source] && c->round[other] < c->round[slot]))
      return 0;
  return 1;
}

static int slots_hold(const change *c) {
  int64_t slot;
  for (slot = 0; slot < c->slots; slot++)
    if (!source_holds(c, slot) || !round_fits(c, slot) ||
        (is_link(c, slot) && !links_are_apart(c, slot)) ||
        (c->order == EPLB_TRANSFER_IN_PLACE && !reads_are_in_time(c, slot)))
      return 0;
  return 1;
}

static int is_move(const change *c, int64_t slot) {
  int64_t first = slot - slot % c->per_gpu, lower;
  if (holders(c, c->placement[slot], first, first + c->per_gpu) > 0) return 0;
  for (lower = first; lower < slot; lower++)
    if (c->placement[lower] == c->placement[slot]) return 0;
  return 1;
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* Adds the layer to a report, and checks what one GPU does against the number of rounds. */
static int count_layer(const change *c, eplb_report *sum) {
  int64_t gpu, slot, moves = 0, rounds = 0, most = 0, sent_most = 0, received_most = 0;
  for (slot = 0; slot < c->slots; slot++) {
    rounds = larger(rounds, c->round[slot]);
    moves += is_move(c, slot);
    sum->reloads += c->source[slot] == -2;
    sum->moves_between_nodes += is_link(c, slot) && node_of(c, c->source[slot]) != node_of(c, slot);
  }
  for (gpu = 0; gpu < c->gpus; gpu++) {
    int64_t sent = 0, received = 0;
    for (slot = 0; slot < c->slots; slot++) {
      if (!is_link(c, slot)) continue;
      sent += gpu_of(c, c->source[slot]) == gpu;
      received += gpu_of(c, slot) == gpu;
    }
    most = larger(most, sent + received);
    sent_most = larger(sent_most, sent);
    received_most = larger(received_most, received);
  }
  sum->moves += moves;
  sum->rounds += rounds;
  sum->most_sent = larger(sum->most_sent, sent_most);
  sum->most_received = larger(sum->most_received, received_most);
  sum->layers_changed += memcmp(c->current, c->placement, (size_t)c->slots * 8) != 0;
  if (c->order == EPLB_TRANSFER_BUFFERED && !EQUAL(larger(sent_most, received_most), rounds))
    return 0;
  if (c->order == EPLB_TRANSFER_EXCLUSIVE && !CHECK(most <= rounds && rounds <= 3 * most / 2))
    return 0;
  return EQUAL(moves, c->moves);
}

static int report_counts(const eplb_report *sum, const eplb_report *report) {
  return EQUAL(sum->layers_changed, report->layers_changed) & EQUAL(sum->moves, report->moves) &
         EQUAL(sum->moves_between_nodes, report->moves_between_nodes) &
         EQUAL(sum->reloads, report->reloads) & EQUAL(sum->rounds, report->rounds) &
         EQUAL(sum->most_sent, report->most_sent) &
         EQUAL(sum->most_received, report->most_received);
}

static int fetch_moves(eplb_context *context, const plan *p, int64_t **maps) {
  int i, rank, fine = 1;
  int64_t dims[4];
  for (i = 0; fine && i < MOVE_MAPS; i++) {
    eplb_map map = EPLB_MAP_MOVE_SOURCE + i;
    int64_t length = map == EPLB_MAP_MOVE_COUNT ? p->layers : p->layers * p->slots;
    fine = EXPECT(EPLB_OK, CALL(map_shape)(context, map, &rank, dims, 4, ERR)) &&
           EQUAL(map == EPLB_MAP_MOVE_COUNT ? 1 : 2, rank) && EQUAL(length, dims[0] * dims[1]) &&
           EXPECT(EPLB_OK, CALL(fetch_map)(context, map, EPLB_INT64, maps[i], length, ERR));
  }
  return fine;
}

static int layers_hold(const input *in, const plan *p, const int64_t *current, int64_t **maps,
                       eplb_transfer_order order, eplb_report *sum) {
  int64_t layer;
  for (layer = 0; layer < p->layers; layer++) {
    int64_t at = layer * p->slots;
    change c = {current + at,
                p->ints[EPLB_MAP_PHYSICAL_TO_LOGICAL] + at,
                maps[0] + at,
                maps[1] + at,
                maps[2] + at,
                p->slots,
                0,
                p->gpus,
                0,
                maps[3][layer],
                order};
    c.per_gpu = p->slots / p->gpus;
    c.nodes = in->problem.num_nodes;
    if (!slots_hold(&c) || !count_layer(&c, sum)) return 0;
  }
  return 1;
}

/* eplb_plan_transfers gives the same for the two placements. */
static int alone_it_is_the_same(eplb_context *context, const input *in, const plan *p,
                                const int64_t *current, int64_t **maps, eplb_transfer_order order,
                                const eplb_report *report) {
  int64_t length = p->layers * p->slots, *again[3];
  eplb_report alone;
  int i, fine;
  for (i = 0; i < 3; i++) again[i] = malloc((size_t)length * sizeof **again);
  fine =
      EXPECT(EPLB_OK, CALL(report_init)(&alone, sizeof alone, ERR)) &&
      EXPECT(EPLB_OK, CALL(plan_transfers)(context, &in->problem, order, current,
                                           p->ints[EPLB_MAP_PHYSICAL_TO_LOGICAL], again[0],
                                           again[1], again[2], length, EPLB_INT64, &alone, ERR)) &&
      report_counts(report, &alone);
  for (i = 0; i < 3; i++) {
    fine = fine && CHECK(memcmp(maps[i], again[i], (size_t)length * sizeof **maps) == 0);
    free(again[i]);
  }
  return fine;
}

int moves_from(eplb_context *context, const input *in, const plan *p, const int64_t *current,
               eplb_transfer_order order) {
  int64_t length = p->layers * p->slots, *maps[MOVE_MAPS];
  eplb_report report, sum;
  input again = *in;
  int i, fine;
  memset(&sum, 0, sizeof sum);
  again.options.transfer_order = order;
  for (i = 0; i < MOVE_MAPS; i++) maps[i] = malloc((size_t)length * sizeof **maps);
  fine = EXPECT(EPLB_OK, CALL(report_init)(&report, sizeof report, ERR)) &&
         EXPECT(EPLB_OK, CALL(upload_placement)(context, current, length, EPLB_INT64, p->layers,
                                                p->slots, ERR)) &&
         input_solve(context, &again) && plan_still_there(p, context, in) &&
         fetch_moves(context, p, maps) && layers_hold(in, p, current, maps, order, &sum) &&
         EXPECT(EPLB_OK, CALL(fetch_report)(context, &report, ERR)) &&
         report_counts(&sum, &report) &&
         alone_it_is_the_same(context, in, p, current, maps, order, &report) &&
         plan_still_there(p, context, in);
  for (i = 0; i < MOVE_MAPS; i++) free(maps[i]);
  return fine;
}

/* From the plan itself, as it is, a GPU further, with empty slots, and without an expert. */
enum { VARIANTS = 4 };
static void make_current(const plan *p, int variant, int64_t *current) {
  int64_t per_gpu = p->slots / p->gpus, i;
  for (i = 0; i < p->layers * p->slots; i++) {
    int64_t slot = i % p->slots, first = i - slot, other = slot;
    if (variant == 1) other = (slot + per_gpu) % p->slots;
    if (variant == 2) other = (slot + 1) % p->slots;
    if (variant == 3) other = p->slots - 1 - slot;
    current[i] = p->ints[EPLB_MAP_PHYSICAL_TO_LOGICAL][first + other];
    if ((variant == 2 && i % 3 == 0) || (variant == 3 && current[i] == 0)) current[i] = -1;
  }
}

int moves_hold(eplb_context *context, const input *in, const plan *p) {
  int64_t *current = malloc((size_t)(p->layers * p->slots) * sizeof *current);
  int fine = 1, variant, order;
  for (variant = 0; fine && p->slots <= MOST_SLOTS && variant < VARIANTS; variant++) {
    make_current(p, variant, current);
    for (order = EPLB_TRANSFER_BUFFERED; fine && order <= EPLB_TRANSFER_EXCLUSIVE; order++)
      fine = moves_from(context, in, p, current, order);
  }
  free(current);
  return EXPECT(EPLB_OK, CALL(upload_placement)(context, NULL, 0, 0, 0, 0, ERR)) && fine;
}
