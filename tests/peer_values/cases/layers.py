"""Layers over images, sequences and volumes, merging, reshaping, normalising, and of single numbers."""
import numpy as np

from peer import layer_case, random

KERNEL_BIAS = ("kernel", "bias")


def made_with():
    import keras
    import tensorflow as tf

    return f"keras {keras.__version__}, tensorflow {tf.__version__}"


def _f(r, *shape):
    return r.normal(size=shape).astype(np.float32)


def convolutions(k, r):
    steps, image, volume = _f(r, 2, 7, 2), _f(r, 2, 4, 5, 2), _f(r, 1, 4, 5, 3, 2)
    yield layer_case("conv1d", "conv1d { filters: 3 kernel: 2 activation: TANH }", k.Conv1D(3, 2, activation="tanh"), [steps],
                     KERNEL_BIAS)
    yield layer_case("conv1d_same_stride", "conv1d { filters: 4 kernel: 3 stride: 2 padding: SAME groups: 2 use_bias: false }",
                     k.Conv1D(4, 3, 2, "same", groups=2, use_bias=False), [steps], ("kernel",))
    yield layer_case("conv1d_causal", "conv1d { filters: 3 kernel: 3 dilation: 2 padding: CAUSAL }",
                     k.Conv1D(3, 3, padding="causal", dilation_rate=2), [steps], KERNEL_BIAS)
    yield layer_case("conv1d_transpose", "conv1d_transpose { filters: 3 kernel: 3 stride: 2 }", k.Conv1DTranspose(3, 3, 2), [steps],
                     KERNEL_BIAS)
    yield layer_case("conv1d_transpose_same", "conv1d_transpose { filters: 3 kernel: 3 stride: 2 padding: SAME }",
                     k.Conv1DTranspose(3, 3, 2, "same"), [steps], KERNEL_BIAS)
    yield layer_case("conv1d_transpose_output_padding",
                     "conv1d_transpose { filters: 2 kernel: 4 stride: 3 output_padding: 1 padding: VALID }",
                     k.Conv1DTranspose(2, 4, 3, "valid", output_padding=1), [steps], KERNEL_BIAS)
    small = image[:1, :3, :4]
    yield layer_case("conv2d_transpose", "conv2d_transpose { filters: 3 kernel: 3 stride_height: 2 stride_width: 1 }",
                     k.Conv2DTranspose(3, 3, (2, 1)), [small], KERNEL_BIAS)
    yield layer_case("conv2d_transpose_same", "conv2d_transpose { filters: 3 kernel: 4 stride: 2 padding: SAME activation: TANH }",
                     k.Conv2DTranspose(3, 4, 2, "same", activation="tanh"), [small], KERNEL_BIAS)
    yield layer_case("conv2d_transpose_narrow_window", "conv2d_transpose { filters: 2 kernel: 2 stride: 3 use_bias: false }",
                     k.Conv2DTranspose(2, 2, 3, use_bias=False), [small], ("kernel",))
    yield layer_case("conv2d_transpose_output_padding",
                     "conv2d_transpose { filters: 2 kernel: 3 stride: 2 padding: SAME output_padding: 1 }",
                     k.Conv2DTranspose(2, 3, 2, "same", output_padding=1), [small], KERNEL_BIAS)
    yield layer_case("depthwise_conv1d", "depthwise_conv1d { kernel: 3 depth_multiplier: 2 padding: SAME }",
                     k.DepthwiseConv1D(3, padding="same", depth_multiplier=2), [steps], KERNEL_BIAS)
    yield layer_case("depthwise_conv2d", "depthwise_conv2d { kernel_height: 3 kernel_width: 2 depth_multiplier: 2 stride: 2 }",
                     k.DepthwiseConv2D((3, 2), 2, depth_multiplier=2), [image], KERNEL_BIAS)
    yield layer_case("depthwise_conv2d_same", "depthwise_conv2d { kernel: 3 padding: SAME use_bias: false }",
                     k.DepthwiseConv2D(3, padding="same", use_bias=False), [image], ("kernel",))
    separable = ("depthwise_kernel", "pointwise_kernel", "bias")
    yield layer_case("separable_conv1d", "separable_conv1d { filters: 3 kernel: 3 depth_multiplier: 2 stride: 2 }",
                     k.SeparableConv1D(3, 3, 2, depth_multiplier=2), [steps], separable)
    yield layer_case("separable_conv2d", "separable_conv2d { filters: 5 kernel: 3 padding: SAME activation: SIGMOID }",
                     k.SeparableConv2D(5, 3, padding="same", activation="sigmoid"), [image], separable)
    yield layer_case("conv3d", "conv3d { filters: 3 kernel_depth: 2 kernel_height: 3 kernel_width: 2 }", k.Conv3D(3, (2, 3, 2)),
                     [volume], KERNEL_BIAS)
    yield layer_case("conv3d_same_stride", "conv3d { filters: 2 kernel: 3 stride_depth: 2 stride_height: 2 stride_width: 1 padding: SAME "
                     "use_bias: false }",
                     k.Conv3D(2, 3, (2, 2, 1), "same", use_bias=False), [volume], ("kernel",))
    yield layer_case("conv3d_dilated", "conv3d { filters: 2 kernel: 2 dilation: 2 }", k.Conv3D(2, 2, dilation_rate=2), [volume],
                     KERNEL_BIAS)
    small = volume[:, :2, :3, :2]
    yield layer_case("conv3d_transpose", "conv3d_transpose { filters: 2 kernel: 2 stride_depth: 3 stride_height: 1 stride_width: 2 }",
                     k.Conv3DTranspose(2, 2, (3, 1, 2)), [small], KERNEL_BIAS)
    yield layer_case("conv3d_transpose_same", "conv3d_transpose { filters: 1 kernel: 3 stride: 2 padding: SAME use_bias: false }",
                     k.Conv3DTranspose(1, 3, 2, "same", use_bias=False), [small], ("kernel",))


def pooling(k, r):
    steps, image, volume = _f(r, 2, 7, 2), _f(r, 1, 5, 6, 2), _f(r, 1, 4, 5, 4, 1)
    for ours, keras_name in (("max_pool", "MaxPooling"), ("avg_pool", "AveragePooling")):
        yield layer_case(ours + "1d", ours + "1d {}", getattr(k, keras_name + "1D")(2), [steps])
        yield layer_case(ours + "1d_same", ours + "1d { window: 3 stride: 2 padding: SAME }", getattr(k, keras_name + "1D")(3, 2, "same"),
                         [steps])
        yield layer_case(ours + "3d", ours + "3d {}", getattr(k, keras_name + "3D")(2), [volume])
        yield layer_case(ours + "3d_same", ours + "3d { window_depth: 3 window_height: 2 window_width: 3 stride: 2 padding: SAME }",
                         getattr(k, keras_name + "3D")((3, 2, 3), 2, "same"), [volume])
    for ours, keras_name in (("global_max_pool", "GlobalMaxPooling"), ("global_avg_pool", "GlobalAveragePooling")):
        for n, x in ((1, steps), (2, image), (3, volume)):
            yield layer_case(f"{ours}{n}d", f"{ours}{n}d {{}}", getattr(k, f"{keras_name}{n}D")(), [x])
        yield layer_case(f"{ours}2d_keep_dims", f"{ours}2d {{ keep_dims: true }}", getattr(k, f"{keras_name}2D")(keepdims=True), [image])
    for ours, keras_name in (("adaptive_max_pool", "AdaptiveMaxPooling"), ("adaptive_avg_pool", "AdaptiveAveragePooling")):
        yield layer_case(ours + "1d", ours + "1d { output_size: 3 }", getattr(k, keras_name + "1D")(3), [steps])
        yield layer_case(ours + "2d", ours + "2d { output_height: 2 output_width: 4 }", getattr(k, keras_name + "2D")((2, 4)), [image])
        yield layer_case(ours + "3d", ours + "3d { output_size: 3 }", getattr(k, keras_name + "3D")(3), [volume])


def reshaping(k, r):
    rows, steps, image, volume = _f(r, 2, 12), _f(r, 2, 6, 2), _f(r, 1, 4, 5, 2), _f(r, 1, 3, 4, 3, 2)
    yield layer_case("reshape", "reshape { shape: 2 shape: 6 }", k.Reshape((2, 6)), [rows])
    yield layer_case("reshape_free", "reshape { shape: -1 shape: 3 }", k.Reshape((-1, 3)), [rows])
    yield layer_case("flatten", "flatten {}", k.Flatten(), [image])
    yield layer_case("permute", "permute { dims: 3 dims: 1 dims: 2 }", k.Permute((3, 1, 2)), [image])
    yield layer_case("repeat_vector", "repeat_vector { n: 3 }", k.RepeatVector(3), [rows])
    yield layer_case("zero_pad1d", "zero_pad1d { before: 1 after: 2 }", k.ZeroPadding1D((1, 2)), [steps])
    yield layer_case("zero_pad2d", "zero_pad2d { top: 1 bottom: 2 left: 0 right: 3 }", k.ZeroPadding2D(((1, 2), (0, 3))), [image])
    yield layer_case("zero_pad3d", "zero_pad3d {}", k.ZeroPadding3D(), [volume])
    yield layer_case("cropping1d", "cropping1d { before: 2 after: 1 }", k.Cropping1D((2, 1)), [steps])
    yield layer_case("cropping1d_default", "cropping1d {}", k.Cropping1D(), [steps])
    yield layer_case("cropping2d", "cropping2d { top: 1 bottom: 0 left: 2 right: 1 }", k.Cropping2D(((1, 0), (2, 1))), [image])
    yield layer_case("cropping3d", "cropping3d {}", k.Cropping3D(), [volume])
    yield layer_case("up_sampling1d", "up_sampling1d { size: 3 }", k.UpSampling1D(3), [steps])
    yield layer_case("up_sampling2d", "up_sampling2d { size_height: 2 size_width: 3 }", k.UpSampling2D((2, 3)), [image])
    yield layer_case("up_sampling2d_bilinear", "up_sampling2d { interpolation: BILINEAR }", k.UpSampling2D(interpolation="bilinear"),
                     [image])
    yield layer_case("up_sampling3d", "up_sampling3d {}", k.UpSampling3D(), [volume[:, :2, :2]])
    yield layer_case("identity", "identity {}", k.Identity(), [rows])


def merging(k, r):
    a, b, c = _f(r, 2, 3, 4), _f(r, 2, 3, 4), _f(r, 2, 1, 4)
    yield layer_case("add", "add {}", k.Add(), [a, b, c])
    yield layer_case("subtract", "subtract {}", k.Subtract(), [a, b])
    yield layer_case("multiply", "multiply {}", k.Multiply(), [a, b, c])
    yield layer_case("average", "average {}", k.Average(), [a, b, c])
    yield layer_case("maximum", "maximum {}", k.Maximum(), [a, b, c])
    yield layer_case("minimum", "minimum {}", k.Minimum(), [a, b, c])
    yield layer_case("concat", "concat { axis: 1 }", k.Concatenate(1), [a, b, c])
    yield layer_case("dot", "dot { axes: 2 }", k.Dot(2), [a, b])
    yield layer_case("dot_two_axes", "dot { axes: 1 axes: 2 }", k.Dot((1, 2)), [_f(r, 2, 3, 4), _f(r, 2, 5, 3)])
    yield layer_case("dot_cosine", "dot { axes: 1 normalize: true }", k.Dot(1, normalize=True), [_f(r, 3, 4), _f(r, 3, 4)])
    yield layer_case("dot_with_vector", "dot { axes: 2 axes: 1 }", k.Dot((2, 1)), [a, _f(r, 2, 4)])


def normalising(k, r):
    image, rows = _f(r, 2, 2, 3, 6), _f(r, 4, 6)
    moving = ("moving_mean", "moving_variance")
    yield layer_case("batch_norm_without_scale", "batch_norm { scale: false epsilon: 0.01 }", k.BatchNormalization(scale=False, epsilon=0.01),
                     [image], ("beta", *moving), training=True, tolerance=5e-5)
    yield layer_case("batch_norm_without_center", "batch_norm { center: false }", k.BatchNormalization(center=False), [image],
                     ("gamma", *moving))
    yield layer_case("batch_norm_alone", "batch_norm { center: false scale: false }", k.BatchNormalization(center=False, scale=False),
                     [image], moving)
    yield layer_case("layer_norm_without_scale", "layer_norm { scale: false }", k.LayerNormalization(scale=False), [image], ("beta",),
                     tolerance=5e-5)
    yield layer_case("layer_norm_without_center", "layer_norm { center: false epsilon: 0.1 }",
                     k.LayerNormalization(center=False, epsilon=0.1), [image], ("gamma",), tolerance=5e-5)
    yield layer_case("group_norm", "group_norm { groups: 3 }", k.GroupNormalization(3), [image], ("gamma", "beta"), tolerance=5e-5)
    yield layer_case("group_norm_of_rows", "group_norm { groups: 2 center: false }", k.GroupNormalization(2, center=False), [rows],
                     ("gamma",), tolerance=5e-5)
    yield layer_case("group_norm_of_each_channel", "group_norm { groups: -1 scale: false }", k.GroupNormalization(-1, scale=False), [image],
                     ("beta",), tolerance=5e-5)
    yield layer_case("rms_norm", "rms_norm {}", k.RMSNormalization(), [image], ("scale",), tolerance=5e-5)
    yield layer_case("unit_norm", "unit_norm {}", k.UnitNormalization(), [image])
    yield layer_case("unit_norm_along_the_height", "unit_norm { axis: 1 }", k.UnitNormalization(1), [image])


def of_numbers(k, r):
    x = _f(r, 2, 3, 4) * 3
    yield layer_case("relu", "relu {}", k.ReLU(), [x])
    yield layer_case("relu_bounded", "relu { max_value: 2 }", k.ReLU(2.0), [x])
    yield layer_case("relu_leaky_from_a_threshold", "relu { max_value: 3 negative_slope: 0.2 threshold: 0.5 }", k.ReLU(3.0, 0.2, 0.5), [x])
    yield layer_case("relu_leaky", "relu { negative_slope: 0.1 }", k.ReLU(negative_slope=0.1), [x])
    yield layer_case("leaky_relu", "leaky_relu {}", k.LeakyReLU(), [x])
    yield layer_case("p_relu", "p_relu {}", k.PReLU(), [x], ("alpha",))
    yield layer_case("p_relu_shared", "p_relu { shared_axes: 1 }", k.PReLU(shared_axes=[1]), [x], ("alpha",))
    yield layer_case("elu", "elu { alpha: 0.7 }", k.ELU(0.7), [np.concatenate([x, np.full((1, 3, 4), 100, np.float32)])])
    yield layer_case("softmax", "softmax {}", k.Softmax(), [x])
    yield layer_case("softmax_along_the_first", "softmax { axis: 1 }", k.Softmax(1), [x])
    for ours, layer in (("spatial_dropout1d", k.SpatialDropout1D(0.5)), ("alpha_dropout", k.AlphaDropout(0.5)),
                        ("gaussian_dropout", k.GaussianDropout(0.5)), ("dropout", k.Dropout(0.5))):
        yield layer_case(ours + "_inference", ours + " { rate: 0.5 }", layer, [x])
    yield layer_case("gaussian_noise_inference", "gaussian_noise { stddev: 1 }", k.GaussianNoise(1.0), [x])


def preparing(k, r):
    import tensorflow as tf

    def whole(layer):
        """Buckets are i64 here, whatever Keras makes them."""
        return lambda x: tf.cast(layer(x), tf.int64)

    x = _f(r, 3, 4)
    yield layer_case("rescaling", "rescaling { scale: 0.5 offset: -1 }", k.Rescaling(0.5, -1.0), [x])
    yield layer_case("normalization", "normalization { mean: 1 mean: 2 mean: 3 mean: 4 variance: 4 variance: 0 variance: 1 variance: 9 }",
                     k.Normalization(mean=[1.0, 2.0, 3.0, 4.0], variance=[4.0, 0.0, 1.0, 9.0]), [x], gradients=False)
    yield layer_case("normalization_inverted", "normalization { mean: 1 variance: 4 invert: true }",
                     k.Normalization(mean=1.0, variance=4.0, invert=True), [x], gradients=False)
    bins = k.Discretization([-0.5, 0.0, 1.0])
    edges = np.array([[-1.0, -0.5, -0.25], [0.0, 0.5, 1.0], [2.0, -0.5, 1.0]], np.float32)
    yield layer_case("discretization", "discretization { bin_boundaries: -0.5 bin_boundaries: 0 bin_boundaries: 1 }", bins, [edges],
                     gradients=False, call=whole(bins))
    for mode in ("one_hot", "multi_hot", "count"):
        yield layer_case("discretization_" + mode,
                         f"discretization {{ bin_boundaries: -0.5 bin_boundaries: 0 bin_boundaries: 1 output_mode: {mode.upper()} }}",
                         k.Discretization([-0.5, 0.0, 1.0], output_mode=mode), [edges], gradients=False)
    tokens = np.array([[0, 2, 2], [3, 1, 0]], np.int64)
    for mode in ("one_hot", "multi_hot", "count"):
        yield layer_case("category_encoding_" + mode, f"category_encoding {{ num_tokens: 4 output_mode: {mode.upper()} }}",
                         k.CategoryEncoding(4, output_mode=mode), [tokens], gradients=False)
    yield layer_case("category_encoding_of_one", "category_encoding { num_tokens: 4 output_mode: ONE_HOT }",
                     k.CategoryEncoding(4, output_mode="one_hot"), [tokens[:, :1]], gradients=False)
    words = np.array([[12, 36, 1138], [42, 7, 12]], np.int64)
    plain, masked = k.IntegerLookup(vocabulary=[12, 36, 42]), k.IntegerLookup(vocabulary=[12, 36, 42], mask_token=7)
    of_three = "vocabulary: 12 vocabulary: 36 vocabulary: 42"
    yield layer_case("integer_lookup", f"integer_lookup {{ {of_three} }}", plain, [words], gradients=False, call=whole(plain))
    yield layer_case("integer_lookup_masked", f"integer_lookup {{ {of_three} mask_token: 7 }}", masked, [words], gradients=False,
                     call=whole(masked))
    counts = k.IntegerLookup(vocabulary=[12, 36, 42], output_mode="count")
    yield layer_case("integer_lookup_count", f"integer_lookup {{ {of_three} output_mode: COUNT }}", counts, [words], gradients=False,
                     call=lambda x: tf.cast(counts(x), tf.float32))
    image = _f(r, 1, 5, 4, 2)
    for name, text, layer in (
            ("resizing", "resizing { height: 3 width: 7 }", k.Resizing(3, 7)),
            ("resizing_nearest", "resizing { height: 7 width: 3 interpolation: NEAREST }", k.Resizing(7, 3, "nearest")),
            ("resizing_cropped", "resizing { height: 2 width: 4 crop_to_aspect_ratio: true }", k.Resizing(2, 4, crop_to_aspect_ratio=True)),
            ("center_crop", "center_crop { height: 2 width: 3 }", k.CenterCrop(2, 3)),
            ("center_crop_of_a_small_image", "center_crop { height: 6 width: 3 }", k.CenterCrop(6, 3))):
        yield layer_case(name, text, layer, [image], gradients=False)


def augmenting(k, r):
    """Factors that leave nothing to chance."""
    image = r.uniform(size=(1, 4, 5, 3)).astype(np.float32)
    unit = {"value_range": (0, 1)}
    for name, text, layer in (
            ("auto_contrast", "auto_contrast {}", k.AutoContrast(**unit)),
            ("random_brightness", "random_brightness { factor: 0.3 factor: 0.3 }", k.RandomBrightness((0.3, 0.3), **unit)),
            ("random_invert", "random_invert {}", k.RandomInvert((1.0, 1.0), **unit)),
            ("random_grayscale", "random_grayscale { factor: 1 }", k.RandomGrayscale(1.0)),
            ("random_posterization", "random_posterization { factor: 3 }", k.RandomPosterization((3, 3), **unit)),
            ("random_color_degeneration", "random_color_degeneration { factor: 0.25 factor: 0.25 }",
             k.RandomColorDegeneration((0.25, 0.25), **unit)),
            ("random_saturation", "random_saturation { factor: 0.3 factor: 0.3 }", k.RandomSaturation((0.3, 0.3), **unit)),
            ("random_saturation_full", "random_saturation { factor: 0.9 factor: 0.9 }", k.RandomSaturation((0.9, 0.9), **unit)),
            ("random_sharpness", "random_sharpness { factor: 0.2 factor: 0.2 }", k.RandomSharpness((0.2, 0.2), **unit)),
            ("random_translation", "random_translation { height_factor: 0.25 height_factor: 0.25 width_factor: -0.3 width_factor: -0.3 }",
             k.RandomTranslation((0.25, 0.25), (-0.3, -0.3))),
            ("random_translation_constant",
             "random_translation { height_factor: 0.25 height_factor: 0.25 width_factor: 0.2 width_factor: 0.2 fill_mode: CONSTANT "
             "fill_value: 0.5 interpolation: NEAREST }",
             k.RandomTranslation((0.25, 0.25), (0.2, 0.2), "constant", "nearest", fill_value=0.5)),
            ("random_rotation", "random_rotation { factor: 0.1 factor: 0.1 }", k.RandomRotation((0.1, 0.1))),
            ("random_zoom", "random_zoom { height_factor: 0.5 height_factor: 0.5 width_factor: -0.4 width_factor: -0.4 }",
             k.RandomZoom((0.5, 0.5), (-0.4, -0.4)))):
        yield layer_case(name, text, layer, [image], training=True, gradients=False, tolerance=2e-5)


def cases():
    import keras

    r = random(11)
    return [c for family in (convolutions, pooling, reshaping, merging, normalising, of_numbers, preparing, augmenting) for c in family(keras.layers, r)]
