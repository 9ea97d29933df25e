#include "worker/coming_from_keras.h"

#include <algorithm>
#include <map>
#include <span>

#include "core/base/error.h"
#include "core/data/stage_names.h"
#include "core/nn/catalogs.h"
#include "worker/job_schema.h"

namespace trireme {
namespace {

using State = KerasName::State;

// Every name, by family. What a catalog has under a name of Keras needs nothing more; every other
// name is in kElsewhere or in kMissing.
struct Family {
  std::string_view name, title, names;
};
constexpr Family kFamilies[] = {
    {"layer", "Layers",
     "Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D "
     "AdaptiveAveragePooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add "
     "AdditiveAttention AlphaDropout Attention AugMix AutoContrast Average AveragePooling1D "
     "AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D BatchNormalization "
     "Bidirectional CategoryEncoding CenterCrop Concatenate "
     "ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose Conv2D Conv2DTranspose "
     "Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Convolution1D "
     "Convolution1DTranspose Convolution2D Convolution2DTranspose Convolution3D "
     "Convolution3DTranspose Cropping1D Cropping2D Cropping3D CutMix Dense DepthwiseConv1D "
     "DepthwiseConv2D Discretization Dot Dropout ELU EinsumDense Embedding Equalization Flatten "
     "FlaxLayer GRU GRUCell GaussianDropout GaussianNoise GlobalAveragePooling1D "
     "GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D "
     "GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D GlobalMaxPooling1D "
     "GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization GroupQueryAttention HashedCrossing "
     "Hashing Identity InputLayer InputSpec IntegerLookup JaxLayer LSTM LSTMCell Lambda Layer "
     "LayerNormalization LeakyReLU Masking MaxNumBoundingBoxes MaxPool1D MaxPool2D MaxPool3D "
     "MaxPooling1D MaxPooling2D MaxPooling3D Maximum MelSpectrogram Minimum MixUp "
     "MultiHeadAttention Multiply Normalization PReLU Permute Pipeline RMSNormalization RNN "
     "RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast "
     "RandomCrop RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur "
     "RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization RandomRotation "
     "RandomSaturation RandomSharpness RandomShear RandomTranslation RandomZoom ReLU RepeatVector "
     "Rescaling Reshape Resizing ReversibleEmbedding STFTSpectrogram SeparableConv1D "
     "SeparableConv2D SeparableConvolution1D SeparableConvolution2D SimpleRNN SimpleRNNCell "
     "Softmax Solarization SpatialDropout1D SpatialDropout2D SpatialDropout3D "
     "SpectralNormalization StackedRNNCells StringLookup Subtract TFSMLayer TextVectorization "
     "TimeDistributed TorchModuleWrapper UnitNormalization UpSampling1D UpSampling2D UpSampling3D "
     "Wrapper ZeroPadding1D ZeroPadding2D ZeroPadding3D"},
    {"optimizer", "Optimizers",
     "Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lamb Lion LossScaleOptimizer "
     "MultiOptimizer Muon Nadam Optimizer OptimizerMap RMSprop SGD ScheduleFreeAdamW"},
    {"schedule", "Learning-rate schedules",
     "CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay LearningRateSchedule "
     "PiecewiseConstantDecay PolynomialDecay"},
    {"loss", "Losses",
     "BinaryCrossentropy BinaryFocalCrossentropy CTC CategoricalCrossentropy "
     "CategoricalFocalCrossentropy CategoricalGeneralizedCrossEntropy CategoricalHinge Circle "
     "CosineSimilarity Dice Hinge Huber KLDivergence LogCosh Loss MeanAbsoluteError "
     "MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError Poisson "
     "SparseCategoricalCrossentropy SquaredHinge Tversky"},
    {"metric", "Metrics",
     "AUC Accuracy BinaryAccuracy BinaryCrossentropy BinaryIoU CategoricalAccuracy "
     "CategoricalCrossentropy CategoricalHinge ConcordanceCorrelation CosineSimilarity F1Score "
     "FBetaScore FalseNegatives FalsePositives Hinge IoU KLDivergence LogCoshError Mean "
     "MeanAbsoluteError MeanAbsolutePercentageError MeanIoU MeanMetricWrapper MeanSquaredError "
     "MeanSquaredLogarithmicError Metric OneHotIoU OneHotMeanIoU PearsonCorrelation Poisson "
     "Precision PrecisionAtRecall R2Score Recall RecallAtPrecision RootMeanSquaredError "
     "SensitivityAtSpecificity SparseCategoricalAccuracy SparseCategoricalCrossentropy "
     "SparseTopKCategoricalAccuracy SpecificityAtSensitivity SquaredHinge Sum "
     "TopKCategoricalAccuracy TrueNegatives TruePositives"},
    {"callback", "Callbacks",
     "BackupAndRestore CSVLogger Callback CallbackList EarlyStopping History LambdaCallback "
     "LearningRateScheduler ModelCheckpoint OrbaxCheckpoint ProgbarLogger ReduceLROnPlateau "
     "RemoteMonitor SwapEMAWeights TensorBoard TerminateOnNaN"},
    {"initializer", "Initializers",
     "Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity Initializer LecunNormal "
     "LecunUniform Ones Orthogonal RandomNormal RandomUniform STFT TruncatedNormal "
     "VarianceScaling Zeros"},
    {"regularizer", "Regularizers", "L1 L1L2 L2 OrthogonalRegularizer Regularizer"},
    {"constraint", "Constraints", "Constraint MaxNorm MinMaxNorm NonNeg UnitNorm"},
};

constexpr std::string_view kDataset = "dataset";

struct Note {
  std::string_view family, name, text;
};

// Not an entry of a catalog, but there.
constexpr Note kElsewhere[] = {
    {"layer", "InputLayer", "`nn::input(shape)`; in a job file the data's features are the inputs"},
    {"layer", "InputSpec", "`TensorType`; a layer checks its inputs by `BuildContext::require`"},
    {"layer", "Layer", "`nn::Layer` ([extending.md](extending.md))"},
    {"layer", "Wrapper", "a layer that has layers: `BuildContext::call`"},
    {"layer", "Pipeline", "layers in a row"},
    {"layer", "RNN", "`ops::scan` with a step of your own; `lstm`, `gru`, `simple_rnn`"},
    {"layer", "LSTMCell", "a step of `lstm`; by itself: `ops::scan`"},
    {"layer", "GRUCell", "a step of `gru`; by itself: `ops::scan`"},
    {"layer", "SimpleRNNCell", "a step of `simple_rnn`; by itself: `ops::scan`"},
    {"layer", "StackedRNNCells", "recurrent layers one after the other"},
    {"optimizer", "MultiOptimizer", "`nn::TrainStep`: an optimizer for each part of the variables"},
    {"optimizer", "OptimizerMap", "`nn::TrainStep`: an optimizer for each part of the variables"},
    {"optimizer", "Optimizer", "a rule ([extending.md](extending.md))"},
    {"optimizer", "LossScaleOptimizer",
     "`precision: MIXED_FLOAT16` with `loss_scale` ([mixed-precision.md](mixed-precision.md))"},
    {"schedule", "LearningRateSchedule", "`nn::ScheduleOptions`"},
    {"loss", "Loss", "`nn::LossOptions` ([extending.md](extending.md))"},
    {"metric", "Accuracy", "`accuracy`, which chooses by the loss"},
    {"metric", "Metric", "`nn::MetricOptions` ([extending.md](extending.md))"},
    {"metric", "MeanMetricWrapper", "`nn::Metric` with a function of predictions and labels"},
    {"callback", "Callback", "`nn::Callback` ([extending.md](extending.md))"},
    {"callback", "CallbackList", "`FitOptions::callbacks`, and the job's `callbacks`"},
    {"callback", "History", "what `Model::fit` returns; `log.csv`"},
    {"callback", "BackupAndRestore",
     "`checkpoint { every_steps: … }`; a job that is started again goes on "
     "([training.md](training.md))"},
    {"callback", "EarlyStopping", "`early_stopping { … }` of the job; `nn::EarlyStopping`"},
    {"callback", "ModelCheckpoint",
     "`checkpoint { … }`, and `early_stopping { monitor: … }` for the best epoch"},
    {"callback", "LambdaCallback", "`nn::LambdaCallback`"},
    {"callback", "LearningRateScheduler",
     "`nn::LearningRateScheduler`; `schedule { … }` of the job"},
    {"callback", "SwapEMAWeights", "`use_ema` of the optimizer: evaluations use the averages"},
    {"callback", "ProgbarLogger", "`FitOptions::progress`; a bar in a terminal, else lines"},
    {"initializer", "Initializer", "`nn::InitializerOptions`"},
    {"regularizer", "Regularizer", "`nn::RegularizerOptions`"},
    {"constraint", "Constraint", "`nn::ConstraintOptions`"},
};

constexpr Note kMissing[] = {
    {"layer", "FlaxLayer", "a wrapper of another library's modules, in Python"},
    {"layer", "JaxLayer", "a wrapper of another library's functions, in Python"},
    {"layer", "TorchModuleWrapper", "a wrapper of another library's modules, in Python"},
    {"layer", "AugMix", "mixes chains of the other augmentations, for models of large images"},
    {"layer", "RandAugment", "a policy over the other augmentations, for models of large images"},
    {"layer", "MixUp", "changes the labels too, and layers see features only"},
    {"layer", "CutMix", "changes the labels too, and layers see features only"},
    {"layer", "ContrastLimitedAdaptiveHistogramEqualization",
     "histograms of tiles, for photographs"},
    {"layer", "Equalization", "needs the histogram of each image"},
    {"layer", "MaxNumBoundingBoxes", "there are no bounding boxes"},
    {"layer", "RandomElasticTransform", "needs a field of displacements for each image"},
    {"layer", "RandomPerspective", "needs a resampling at any position"},
    {"layer", "RandomColorJitter",
     "`random_brightness`, `random_contrast` and `random_saturation` one after the other"},
    {"layer", "RandomHue", "needs hue, saturation and value of each pixel"},
    {"layer", "RandomErasing", "boxes of any size in each image; `spatial_dropout2d` is near"},
    {"layer", "RandomGaussianBlur", "needs a kernel for each image; `random_sharpness` is near"},
    {"layer", "SpectralNormalization", "changes the kernel of another layer before each step"},
    {"layer", "ReversibleEmbedding", "a variable belongs to one layer"},
    {"layer", "MelSpectrogram", "there is no Fourier transform"},
    {"layer", "STFTSpectrogram", "there is no Fourier transform"},
    {"layer", "ConvLSTM1D",
     "the recurrence has products, no convolutions; `ops::scan` can hold them"},
    {"layer", "ConvLSTM2D",
     "the recurrence has products, no convolutions; `ops::scan` can hold them"},
    {"layer", "ConvLSTM3D",
     "the recurrence has products, no convolutions; `ops::scan` can hold them"},
    {"optimizer", "ScheduleFreeAdamW",
     "evaluates at other weights than it trains with; `adamw` with `use_ema` is near"},
    {"loss", "CTC", "needs an op over all alignments of a sequence"},
    {"loss", "Circle", "over pairs of a batch of embeddings; `in_batch_softmax` is near"},
    {"callback", "OrbaxCheckpoint", "a format of another library"},
    {"callback", "RemoteMonitor",
     "metrics are on `/metrics`, for Prometheus ([metrics.md](metrics.md))"},
    {"initializer", "STFT", "there is no Fourier transform"},
};

// Other names of Keras for the same class.
constexpr std::pair<std::string_view, std::string_view> kAliases[] = {
    {"AvgPool1D", "AveragePooling1D"},
    {"AvgPool2D", "AveragePooling2D"},
    {"AvgPool3D", "AveragePooling3D"},
    {"Convolution1D", "Conv1D"},
    {"Convolution1DTranspose", "Conv1DTranspose"},
    {"Convolution2D", "Conv2D"},
    {"Convolution2DTranspose", "Conv2DTranspose"},
    {"Convolution3D", "Conv3D"},
    {"Convolution3DTranspose", "Conv3DTranspose"},
    {"GlobalAvgPool1D", "GlobalAveragePooling1D"},
    {"GlobalAvgPool2D", "GlobalAveragePooling2D"},
    {"GlobalAvgPool3D", "GlobalAveragePooling3D"},
    {"GlobalMaxPool1D", "GlobalMaxPooling1D"},
    {"GlobalMaxPool2D", "GlobalMaxPooling2D"},
    {"GlobalMaxPool3D", "GlobalMaxPooling3D"},
    {"MaxPool1D", "MaxPooling1D"},
    {"MaxPool2D", "MaxPooling2D"},
    {"MaxPool3D", "MaxPooling3D"},
    {"SeparableConvolution1D", "SeparableConv1D"},
    {"SeparableConvolution2D", "SeparableConv2D"},
};

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> found;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    found.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return found;
}

const Note* find_note(std::span<const Note> notes, std::string_view family, std::string_view name) {
  const auto found = std::ranges::find_if(
      notes, [&](const Note& note) { return note.family == family && note.name == name; });
  return found == notes.end() ? nullptr : &*found;
}

std::string_view class_of(std::string_view name) {
  const auto found =
      std::ranges::find(kAliases, name, [](const auto& alias) { return alias.first; });
  return found == std::end(kAliases) ? name : found->second;
}

// The entries of a catalog by Keras's names.
std::map<std::string, std::string, std::less<>> entries_of(const JobSchema& schema,
                                                           std::string_view family) {
  std::map<std::string, std::string, std::less<>> found;
  const CatalogBase* const catalog = schema.catalogs().find(family);
  if (catalog == nullptr) return found;
  for (const CatalogEntry& entry : catalog->entries()) {
    if (!entry.keras.empty()) found.emplace(entry.keras, entry.name);
  }
  return found;
}

KerasName look_up(const std::map<std::string, std::string, std::less<>>& entries,
                  std::string_view family, std::string_view name) {
  KerasName result{.family = family, .name = name, .ours = "", .note = ""};
  const auto entry = entries.find(class_of(name));
  const Note* const elsewhere = find_note(kElsewhere, family, name);
  const Note* const missing = find_note(kMissing, family, class_of(name));
  const int said = (entry != entries.end()) + (elsewhere != nullptr) + (missing != nullptr);
  TRIREME_CHECK(said == 1, "Keras's ", family, " ", name,
                said == 0 ? " is in no catalog, and nothing says why"
                          : " is in a catalog, and a note says that it is elsewhere or missing");
  if (entry != entries.end()) {
    result.ours = entry->second;
  } else {
    result.state = elsewhere != nullptr ? State::kElsewhere : State::kMissing;
    result.note = elsewhere != nullptr ? elsewhere->text : missing->text;
  }
  return result;
}

}  // namespace

std::vector<KerasName> keras_names(const JobSchema& schema) {
  std::vector<KerasName> all;
  for (const Family& family : kFamilies) {
    const auto entries = entries_of(schema, family.name);
    for (const std::string_view name : words(family.names)) {
      all.push_back(look_up(entries, family.name, name));
    }
  }
  for (const data::StageName& stage : data::kStageNames) {
    all.push_back({.family = kDataset,
                   .name = stage.tf_data,
                   .state = stage.ours.empty() ? State::kMissing : State::kCatalog,
                   .ours = std::string(stage.ours),
                   .note = stage.note});
  }
  return all;
}

std::string coming_from_keras_page(const JobSchema& schema) {
  const std::vector<KerasName> all = keras_names(schema);
  const auto is_there = [](const KerasName& name) { return name.state != State::kMissing; };
  std::string page = str_cat(
      "# Coming from Keras and tf.data\n\n"
      "Each public name of Keras 3.15, and each method of TensorFlow 2.21's `tf.data.Dataset`, "
      "with "
      "what it is\nhere. Options are those of Keras, in `snake_case`: `trireme describe layer "
      "dense` "
      "or [reference.md](reference.md).\nThis page is generated: `trireme describe --keras`.\n\n",
      std::ranges::count_if(all, is_there), " of ", all.size(),
      " names are there. What is missing has its reason.\n");
  const auto add_table = [&](std::string_view family, std::string_view title) {
    const std::string_view quote = family == kDataset ? "`" : "";
    std::vector<KerasName> own;
    std::ranges::copy_if(all, std::back_inserter(own),
                         [&](const KerasName& name) { return name.family == family; });
    page += str_cat("\n## ", title, "\n\n", std::ranges::count_if(own, is_there), " of ",
                    own.size(), ".\n\n| ", title, " | Trireme |\n|---|---|\n");
    for (const KerasName& name : own) {
      page += str_cat("| ", quote, name.name, quote, " | ");
      if (name.state == State::kMissing) page += "missing: ";
      if (!name.ours.empty()) page += str_cat("`", name.ours, "`", name.note.empty() ? "" : ": ");
      page += str_cat(name.note, " |\n");
    }
  };
  for (const Family& family : kFamilies) add_table(family.name, family.title);
  add_table(kDataset, "tf.data.Dataset");
  return page;
}

}  // namespace trireme
