// The layers that job files know.
#include "core/nn/activation_layers.h"
#include "core/nn/attention_layers.h"
#include "core/nn/click_layers.h"
#include "core/nn/convolution_layers.h"
#include "core/nn/einsum_layers.h"
#include "core/nn/image_augmentation_layers.h"
#include "core/nn/image_color_layers.h"
#include "core/nn/layers.h"
#include "core/nn/mask_layers.h"
#include "core/nn/merge_layers.h"
#include "core/nn/noise_layers.h"
#include "core/nn/normalization_layers.h"
#include "core/nn/operation_layers.h"
#include "core/nn/pooling_layers.h"
#include "core/nn/preprocessing_layers.h"
#include "core/nn/recurrent_layers.h"
#include "core/nn/reshaping_layers.h"
#include "core/nn/residual_layers.h"
#include "core/nn/string_layers.h"
#include "core/nn/transformer_layers.h"

namespace trireme::nn {

void register_core_layers(Catalog<Layer>& catalog) {
  catalog.add<Dense>("dense", "Dense", "activation(x · kernel + bias), over the last axis.");
  register_einsum_layers(catalog);
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
  catalog.add<Conv1D>("conv1d", "Conv1D", "A convolution over sequences, with a bias.");
  catalog.add<Conv3D>("conv3d", "Conv3D", "A convolution over volumes, with a bias.");
  catalog.add<Conv1DTranspose>("conv1d_transpose", "Conv1DTranspose",
                               "A transposed convolution over sequences, which makes them longer.");
  catalog.add<Conv2DTranspose>("conv2d_transpose", "Conv2DTranspose",
                               "A transposed convolution over images, which makes them larger.");
  catalog.add<Conv3DTranspose>("conv3d_transpose", "Conv3DTranspose",
                               "A transposed convolution over volumes, which makes them larger.");
  catalog.add<DepthwiseConv1D>("depthwise_conv1d", "DepthwiseConv1D",
                               "A convolution over each channel of sequences by itself.");
  catalog.add<DepthwiseConv2D>("depthwise_conv2d", "DepthwiseConv2D",
                               "A convolution over each channel of images by itself.");
  catalog.add<SeparableConv1D>(
      "separable_conv1d", "SeparableConv1D",
      "A convolution over each channel of sequences, then one over the channels.");
  catalog.add<SeparableConv2D>(
      "separable_conv2d", "SeparableConv2D",
      "A convolution over each channel of images, then one over the channels.");
  catalog.add<MaxPool1D>("max_pool1d", "MaxPooling1D",
                         "The largest number of each window of steps.");
  catalog.add<MaxPool3D>("max_pool3d", "MaxPooling3D",
                         "The largest number of each window of a volume.");
  catalog.add<AvgPool1D>("avg_pool1d", "AveragePooling1D", "The mean of each window of steps.");
  catalog.add<AvgPool3D>("avg_pool3d", "AveragePooling3D", "The mean of each window of a volume.");
  catalog.add<GlobalMaxPool1D>("global_max_pool1d", "GlobalMaxPooling1D",
                               "The largest number of each channel over all steps.");
  catalog.add<GlobalMaxPool2D>("global_max_pool2d", "GlobalMaxPooling2D",
                               "The largest number of each channel over the whole image.");
  catalog.add<GlobalMaxPool3D>("global_max_pool3d", "GlobalMaxPooling3D",
                               "The largest number of each channel over the whole volume.");
  catalog.add<GlobalAvgPool1D>("global_avg_pool1d", "GlobalAveragePooling1D",
                               "The mean of each channel over all steps.");
  catalog.add<GlobalAvgPool3D>("global_avg_pool3d", "GlobalAveragePooling3D",
                               "The mean of each channel over the whole volume.");
  catalog.add<AdaptiveMaxPool1D>(
      "adaptive_max_pool1d", "AdaptiveMaxPooling1D",
      "The largest numbers of as many windows of steps as are asked for.");
  catalog.add<AdaptiveMaxPool2D>(
      "adaptive_max_pool2d", "AdaptiveMaxPooling2D",
      "The largest numbers of as many windows of an image as are asked for.");
  catalog.add<AdaptiveMaxPool3D>(
      "adaptive_max_pool3d", "AdaptiveMaxPooling3D",
      "The largest numbers of as many windows of a volume as are asked for.");
  catalog.add<AdaptiveAvgPool1D>("adaptive_avg_pool1d", "AdaptiveAveragePooling1D",
                                 "The means of as many windows of steps as are asked for.");
  catalog.add<AdaptiveAvgPool2D>("adaptive_avg_pool2d", "AdaptiveAveragePooling2D",
                                 "The means of as many windows of an image as are asked for.");
  catalog.add<AdaptiveAvgPool3D>("adaptive_avg_pool3d", "AdaptiveAveragePooling3D",
                                 "The means of as many windows of a volume as are asked for.");
  catalog.add<Permute>("permute", "Permute", "The axes of an example in another order.");
  catalog.add<RepeatVector>("repeat_vector", "RepeatVector", "A vector several times: a sequence.");
  catalog.add<ZeroPad1D>("zero_pad1d", "ZeroPadding1D", "Zeros before and after each sequence.");
  catalog.add<ZeroPad3D>("zero_pad3d", "ZeroPadding3D", "Zeros around each volume.");
  catalog.add<Cropping1D>("cropping1d", "Cropping1D", "Leaves out the first and last steps.");
  catalog.add<Cropping2D>("cropping2d", "Cropping2D",
                          "Leaves out rows and columns at an image's borders.");
  catalog.add<Cropping3D>("cropping3d", "Cropping3D",
                          "Leaves out slices, rows and columns at a volume's borders.");
  catalog.add<UpSampling1D>("up_sampling1d", "UpSampling1D", "Each step several times.");
  catalog.add<UpSampling2D>("up_sampling2d", "UpSampling2D", "Each row and column several times.");
  catalog.add<UpSampling3D>("up_sampling3d", "UpSampling3D",
                            "Each slice, row and column several times.");
  catalog.add<Identity>("identity", "Identity", "Its input.");
  catalog.add<OperationLayer>("operation", "",
                              "One operation: what networks of other programs do between layers.");
  catalog.add<Lambda>("lambda", "Lambda",
                      "A function of a C++ program; a job file cannot have one.");
  catalog.add<Relu>("relu", "ReLU", "x above a threshold, else 0 or a part of it.");
  catalog.add<LeakyRelu>("leaky_relu", "LeakyReLU", "x above 0, else a part of it.");
  catalog.add<PRelu>("p_relu", "PReLU", "x above 0, else a part of it that is trained.");
  catalog.add<Elu>("elu", "ELU", "x above 0, else alpha · (e^x − 1).");
  catalog.add<Softmax>("softmax", "Softmax", "Positive numbers that add up to 1 along an axis.");
  catalog.add<SpatialDropout1D>("spatial_dropout1d", "SpatialDropout1D",
                                "While training sets whole channels of sequences to 0.");
  catalog.add<SpatialDropout2D>("spatial_dropout2d", "SpatialDropout2D",
                                "While training sets whole channels of images to 0.");
  catalog.add<SpatialDropout3D>("spatial_dropout3d", "SpatialDropout3D",
                                "While training sets whole channels of volumes to 0.");
  catalog.add<AlphaDropout>("alpha_dropout", "AlphaDropout",
                            "Dropout that keeps mean and variance of SELU networks.");
  catalog.add<GaussianDropout>("gaussian_dropout", "GaussianDropout",
                               "While training times normal numbers of mean 1.");
  catalog.add<GaussianNoise>("gaussian_noise", "GaussianNoise",
                             "While training plus normal numbers of mean 0.");
  catalog.add<GroupNorm>(
      "group_norm", "GroupNormalization",
      "Each group of channels of an example with mean and variance brought to 0 and 1.");
  catalog.add<RmsNorm>("rms_norm", "RMSNormalization",
                       "Each example's channels divided by the root of the mean of their squares.");
  catalog.add<UnitNorm>("unit_norm", "UnitNormalization", "Vectors brought to length 1.");
  catalog.add<Subtract>("subtract", "Subtract", "The difference of two inputs.");
  catalog.add<Average>("average", "Average", "The mean of the inputs, number by number.");
  catalog.add<Maximum>("maximum", "Maximum", "The largest of the inputs, number by number.");
  catalog.add<Minimum>("minimum", "Minimum", "The smallest of the inputs, number by number.");
  catalog.add<Dot>("dot", "Dot", "The dot products of two inputs along an axis of each.");
  catalog.add<Rescaling>("rescaling", "Rescaling", "x times a factor, plus a number.");
  catalog.add<Normalization>(
      "normalization", "Normalization",
      "Each channel with the training data's mean and variance brought to 0 and 1.");
  catalog.add<Discretization>("discretization", "Discretization",
                              "The number of the bucket that a number falls into.");
  catalog.add<CategoryEncoding>("category_encoding", "CategoryEncoding",
                                "Whole numbers as rows of zeros and ones.");
  catalog.add<Hashing>("hashing", "Hashing", "Whole numbers or texts hashed to buckets.");
  catalog.add<HashedCrossing>("hashed_crossing", "HashedCrossing",
                              "Several whole numbers hashed to one bucket.");
  catalog.add<IntegerLookup>("integer_lookup", "IntegerLookup",
                             "The places of whole numbers in a vocabulary.");
  catalog.add<StringLookup>("string_lookup", "StringLookup",
                            "The places of texts in a vocabulary.");
  catalog.add<TextVectorization>("text_vectorization", "TextVectorization",
                                 "The words of texts as numbers.");
  catalog.add<Resizing>("resizing", "Resizing", "Images of another size.");
  catalog.add<CenterCrop>("center_crop", "CenterCrop", "The middle of each image.");
  catalog.add<RandomCrop>("random_crop", "RandomCrop",
                          "While training a part of each image anywhere in it.");
  catalog.add<RandomFlip>("random_flip", "RandomFlip",
                          "While training mirrors half of the images.");
  catalog.add<RandomRotation>("random_rotation", "RandomRotation",
                              "While training turns each image.");
  catalog.add<RandomTranslation>("random_translation", "RandomTranslation",
                                 "While training shifts each image.");
  catalog.add<RandomZoom>("random_zoom", "RandomZoom",
                          "While training makes each image larger or smaller.");
  catalog.add<RandomShear>("random_shear", "RandomShear", "While training slants each image.");
  catalog.add<RandomContrast>("random_contrast", "RandomContrast",
                              "While training changes each image's contrast.");
  catalog.add<RandomBrightness>("random_brightness", "RandomBrightness",
                                "While training makes each image lighter or darker.");
  catalog.add<RandomInvert>("random_invert", "RandomInvert",
                            "While training makes negatives of images.");
  catalog.add<RandomGrayscale>("random_grayscale", "RandomGrayscale",
                               "While training takes the colours from images.");
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
  catalog.add<AutoContrast>("auto_contrast", "AutoContrast",
                            "Each channel of each image stretched from black to white.");
  catalog.add<Solarization>("solarization", "Solarization",
                            "While training makes negatives of what is above a threshold.");
  catalog.add<RandomPosterization>("random_posterization", "RandomPosterization",
                                   "While training leaves the highest bits of each number.");
  catalog.add<RandomColorDegeneration>("random_color_degeneration", "RandomColorDegeneration",
                                       "While training makes each image grayer.");
  catalog.add<RandomSaturation>("random_saturation", "RandomSaturation",
                                "While training changes each image's saturation.");
  catalog.add<RandomSharpness>("random_sharpness", "RandomSharpness",
                               "While training makes each image smoother or sharper.");
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
