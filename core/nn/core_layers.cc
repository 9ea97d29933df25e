// The layers that job files know.
#include "core/nn/attention_layers.h"
#include "core/nn/click_layers.h"
#include "core/nn/layers.h"
#include "core/nn/mask_layers.h"
#include "core/nn/merge_layers.h"
#include "core/nn/recurrent_layers.h"
#include "core/nn/residual_layers.h"
#include "core/nn/transformer_layers.h"

namespace trireme::nn {

void register_core_layers(Catalog<Layer>& catalog) {
  catalog.add<Dense>("dense", "Dense", "activation(x · kernel + bias), over the last axis.");
  catalog.add<Conv2D>("conv2d", "Conv2D", "A convolution over images, with a bias.");
  catalog.add<MaxPool2D>("max_pool2d", "MaxPooling2D", "The largest number of each window.");
  catalog.add<AvgPool2D>("avg_pool2d", "AveragePooling2D", "The mean of each window.");
  catalog.add<GlobalAvgPool2D>("global_avg_pool2d", "GlobalAveragePooling2D",
                               "The mean of each channel over the whole image.");
  catalog.add<ZeroPad2D>("zero_pad2d", "ZeroPadding2D", "Zeros around each image.");
  catalog.add<Flatten>("flatten", "Flatten", "All axes but the batch in one.");
  catalog.add<Reshape>("reshape", "Reshape", "The numbers of an example in another shape.");
  catalog.add<ActivationLayer>("activation", "Activation", "A function of each number.");
  catalog.add<Dropout>("dropout", "Dropout",
                       "While training sets numbers to 0, and scales up those that stay.");
  catalog.add<BatchNorm>("batch_norm", "BatchNormalization",
                         "Each channel with the batch's mean and variance brought to 0 and 1.");
  catalog.add<LayerNorm>("layer_norm", "LayerNormalization",
                         "Each example with the mean and variance of its channels brought to 0 and "
                         "1.");
  catalog.add<Embedding>("embedding", "Embedding", "A row of a table for each index.");
  catalog.add<EmbeddingBag>("embedding_bag", "", "The sum of the rows that an example names.");
  catalog.add<Concat>("concat", "Concatenate", "The inputs side by side along an axis.");
  catalog.add<Add>("add", "Add", "The sum of the inputs.");
  catalog.add<Multiply>("multiply", "Multiply", "The product of the inputs, number by number.");
  catalog.add<DotInteraction>("dot_interaction", "",
                              "The dot product of each pair of an example's vectors.");
  catalog.add<Masking>("masking", "Masking",
                       "Marks the steps of a sequence that are padding, which later layers leave "
                       "out.");
  register_attention_layers(catalog);
  register_transformer_layers(catalog);
  catalog.add<Lstm>("lstm", "LSTM", "Long short-term memory over a sequence.");
  catalog.add<Gru>("gru", "GRU", "Gated recurrent units over a sequence.");
  catalog.add<SimpleRnn>("simple_rnn", "SimpleRNN",
                         "A recurrence over a sequence: activation(x · kernel + h · "
                         "recurrent_kernel + bias).");
  catalog.add<Bidirectional>("bidirectional", "Bidirectional",
                             "A recurrent layer in both directions.");
  catalog.add<TimeDistributed>("time_distributed", "TimeDistributed",
                               "A layer applied to each step of a sequence.");
  catalog.add<Residual>("residual", "", "What layers make of the input, plus the input.");
  catalog.add<Bottleneck>(
      "bottleneck", "", "A stage of a residual network: blocks of convolutions 1×1, 3×3 and 1×1.");
  catalog.add<Dlrm>("dlrm", "",
                    "A whole model for click logs: products of pairs of vectors (Naumov et al. "
                    "2019).");
  catalog.add<WideDeep>("wide_deep", "",
                        "A whole model for click logs: a linear and a deep part (Cheng et al. "
                        "2016).");
}

}  // namespace trireme::nn
