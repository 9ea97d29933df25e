// Collectives for large groups, in which a rank talks to O(log n) others.
//
// All follow one pattern of partners, so that they share connections: whoever stands 1, 2, 4, …
// ranks before or after, around the circle. That is 2·ceil(log2 n) ranks at most; the rings,
// binomial trees and barriers of algorithms.h keep to it too. Called as those are.
#pragma once

#include <vector>

#include "distributed/collective/algorithms.h"

namespace trireme {

// Up to here every rank may talk to every other, in one round where that is quicker.
inline constexpr int kMeshRanks = 8;

// With whom rank `rank` of `size` may talk in any collective, ascending.
std::vector<int> partners_of(int rank, int size);

// For large tensors: every rank that takes part gives away half of what it still has to its partner
// at distance 1, 2, 4, … (Rabenseifner 2004, with the distances in the order in which the sum's
// tree grows). So sums have the bits of combine_tree(). Groups that are no power of two are made of
// several that are, joined at the end by up to 2·log2 n messages more.
// Returns the part of `data` that is reduced here; the rest is undefined. Empty for ranks that
// own none.
TensorSpan halving_reduce_scatter(const TransportCall& call, TensorSpan data, ReduceOp op);
// From there to all of `data` on every rank.
void doubling_all_gather(const TransportCall& call, TensorSpan data);

// ceil(log2 n) rounds, in which what is sent doubles (Bruck et al. 1997), each block in its place.
void bruck_all_gather(const TransportCall& call, TensorSpan data, Blocks blocks);

}  // namespace trireme
