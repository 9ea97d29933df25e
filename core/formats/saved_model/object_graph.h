// The objects that TensorFlow 2 makes of a SavedModel: a root that can be called, its signatures
// and its variables.
#pragma once

#include "core/formats/saved_model/serving_graph.h"
#include "proto/tf/saved_object_graph.pb.h"
#include "proto/tf/trackable_object_graph.pb.h"

namespace trireme::formats {

// `objects`: of saved_model.pb. `checkpoint`: of the bundle; nodes of both correspond.
void write_object_graphs(const ServingGraph& served, tf::SavedObjectGraph& objects,
                         tf::TrackableObjectGraph& checkpoint);

}  // namespace trireme::formats
