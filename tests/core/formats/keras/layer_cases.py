"""Small models of Keras, each of a layer or two, with options that are no defaults."""
import keras
import numpy as np

L = keras.layers
R = keras.regularizers
I = keras.initializers


def cases():
    """Name, shapes of the inputs without the batch (a number: keys below it), and what is called."""
    image, row, volume, flat = (8, 9, 4), (7, 4), (4, 5, 6, 2), (6,)
    all_cases = [
        ("dense", [flat], L.Dense(3)),
        ("dense_options", [flat], L.Dense(
            3, activation="selu", use_bias=False, kernel_initializer=I.VarianceScaling(2.0, "fan_out", "uniform", seed=3),
            kernel_regularizer=R.L1L2(0.1, 0.2), activity_regularizer=R.L2(0.3), kernel_constraint=keras.constraints.MaxNorm(3))),
        ("dense_frozen", [flat], L.Dense(3, trainable=False, bias_initializer=I.Constant(0.5), kernel_initializer="orthogonal")),
        ("dense_of_rows", [row], L.Dense(3, activation="gelu", bias_regularizer=R.L1(0.1), bias_constraint="non_neg")),
        ("einsum_dense", [row], L.EinsumDense("abc,cd->abd", output_shape=(None, 5), bias_axes="d", activation="tanh")),
        ("conv1d", [row], L.Conv1D(3, 3, strides=2, padding="causal", activation="relu")),
        ("conv1d_options", [row], L.Conv1D(4, 2, dilation_rate=2, groups=2, use_bias=False, padding="same")),
        ("conv2d", [image], L.Conv2D(3, 3)),
        ("conv2d_options", [image], L.Conv2D(4, (3, 2), strides=(2, 1), padding="same", groups=2, activation="elu", use_bias=False)),
        ("conv2d_dilated", [image], L.Conv2D(4, (3, 2), dilation_rate=(2, 3), kernel_initializer="he_normal")),
        ("conv3d", [volume], L.Conv3D(3, (2, 3, 2), strides=(1, 2, 1), padding="same")),
        ("conv1d_transpose", [row], L.Conv1DTranspose(3, 3, strides=2, padding="same")),
        ("conv2d_transpose", [image], L.Conv2DTranspose(3, (3, 2), strides=(2, 2))),
        ("conv2d_transpose_same", [image], L.Conv2DTranspose(3, 3, strides=2, padding="same", activation="relu")),
        ("conv3d_transpose", [volume], L.Conv3DTranspose(3, 2, strides=2)),
        ("depthwise_conv1d", [row], L.DepthwiseConv1D(3, depth_multiplier=2)),
        ("depthwise_conv2d", [image], L.DepthwiseConv2D((3, 2), padding="same", depth_multiplier=2, activation="relu")),
        ("separable_conv1d", [row], L.SeparableConv1D(3, 2, padding="same")),
        ("separable_conv2d", [image], L.SeparableConv2D(3, (2, 3), depth_multiplier=2, use_bias=False)),
        ("max_pool1d", [row], L.MaxPooling1D(3, strides=1, padding="same")),
        ("max_pool2d", [image], L.MaxPooling2D((2, 3), strides=(1, 2))),
        ("max_pool3d", [volume], L.MaxPooling3D(2)),
        ("avg_pool1d", [row], L.AveragePooling1D(2)),
        ("avg_pool2d", [image], L.AveragePooling2D(3, strides=2, padding="same")),
        ("avg_pool3d", [volume], L.AveragePooling3D((2, 2, 1))),
        ("global_max_pool1d", [row], L.GlobalMaxPooling1D(keepdims=True)),
        ("global_max_pool2d", [image], L.GlobalMaxPooling2D()),
        ("global_max_pool3d", [volume], L.GlobalMaxPooling3D()),
        ("global_avg_pool1d", [row], L.GlobalAveragePooling1D()),
        ("global_avg_pool2d", [image], L.GlobalAveragePooling2D(keepdims=True)),
        ("global_avg_pool3d", [volume], L.GlobalAveragePooling3D()),
        ("adaptive_avg_pool2d", [image], L.AdaptiveAveragePooling2D((3, 2))),
        ("adaptive_max_pool1d", [row], L.AdaptiveMaxPooling1D(3)),
        ("zero_padding1d", [row], L.ZeroPadding1D((2, 1))),
        ("zero_padding2d", [image], L.ZeroPadding2D(((1, 2), (0, 3)))),
        ("zero_padding2d_one", [image], L.ZeroPadding2D(2)),
        ("zero_padding3d", [volume], L.ZeroPadding3D((1, 0, 2))),
        ("cropping1d", [row], L.Cropping1D((1, 2))),
        ("cropping2d", [image], L.Cropping2D(((1, 2), (0, 3)))),
        ("cropping3d", [volume], L.Cropping3D(1)),
        ("up_sampling1d", [row], L.UpSampling1D(3)),
        ("up_sampling2d", [image], L.UpSampling2D((2, 3), interpolation="bilinear")),
        ("up_sampling3d", [volume], L.UpSampling3D((1, 2, 3))),
        ("flatten", [image], L.Flatten()),
        ("reshape", [image], L.Reshape((-1, 12))),
        ("permute", [image], L.Permute((3, 1, 2))),
        ("repeat_vector", [flat], L.RepeatVector(3)),
        ("activation", [flat], L.Activation("log_softmax")),
        ("relu", [flat], L.ReLU(max_value=1.0, negative_slope=0.1, threshold=0.2)),
        ("leaky_relu", [flat], L.LeakyReLU(0.2)),
        ("p_relu", [image], L.PReLU(shared_axes=[1, 2])),
        ("p_relu_all", [row], L.PReLU(alpha_initializer="ones")),
        ("elu", [flat], L.ELU(0.5)),
        ("softmax", [row], L.Softmax(axis=1)),
        ("dropout", [flat], L.Dropout(0.25)),
        ("spatial_dropout1d", [row], L.SpatialDropout1D(0.25)),
        ("spatial_dropout2d", [image], L.SpatialDropout2D(0.25)),
        ("alpha_dropout", [flat], L.AlphaDropout(0.25)),
        ("gaussian_dropout", [flat], L.GaussianDropout(0.25)),
        ("gaussian_noise", [flat], L.GaussianNoise(0.25)),
        ("activity_regularization", [flat], L.ActivityRegularization(0.1, 0.2)),
        ("batch_normalization", [image], L.BatchNormalization(momentum=0.9, epsilon=1e-4)),
        ("batch_normalization_flat", [flat], L.BatchNormalization(center=False, scale=False)),
        ("layer_normalization", [row], L.LayerNormalization(epsilon=1e-5, center=False)),
        ("group_normalization", [image], L.GroupNormalization(2)),
        ("rms_normalization", [row], L.RMSNormalization()),
        ("unit_normalization", [row], L.UnitNormalization(axis=1)),
        ("normalization_given", [flat], L.Normalization(mean=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], variance=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
        ("rescaling", [image], L.Rescaling(0.5, offset=-1.0)),
        ("identity", [flat], L.Identity()),
        ("concatenate", [row, row], L.Concatenate(axis=1)),
        ("add", [row, row], L.Add()),
        ("subtract", [row, row], L.Subtract()),
        ("multiply", [row, row, row], L.Multiply()),
        ("average", [row, row], L.Average()),
        ("maximum", [row, row], L.Maximum()),
        ("minimum", [row, row], L.Minimum()),
        ("dot", [row, row], L.Dot(axes=2, normalize=True)),
        ("dot_axes", [row, (4, 7)], L.Dot(axes=(1, 2))),
        ("embedding", [(5, 20)], L.Embedding(20, 3, embeddings_initializer="normal")),
        ("lstm", [row], L.LSTM(3, return_sequences=True, unit_forget_bias=False)),
        ("lstm_backwards", [row], L.LSTM(3, go_backwards=True, use_bias=False, dropout=0.2)),
        ("gru", [row], L.GRU(3)),
        ("gru_before", [row], L.GRU(3, reset_after=False, return_sequences=True)),
        ("simple_rnn", [row], L.SimpleRNN(3, activation="relu", recurrent_regularizer="l2")),
        ("bidirectional", [row], L.Bidirectional(L.LSTM(3, return_sequences=True))),
        ("bidirectional_sum", [row], L.Bidirectional(L.GRU(3), merge_mode="sum")),
        ("time_distributed", [row], L.TimeDistributed(L.Dense(3, activation="relu"))),
        ("attention", [row, (5, 4)], L.Attention(use_scale=True)),
        ("attention_concat", [row, row], L.Attention(score_mode="concat")),
        ("additive_attention", [row, (5, 4)], L.AdditiveAttention()),
        ("resizing", [image], L.Resizing(5, 6, interpolation="nearest")),
        ("center_crop", [image], L.CenterCrop(4, 5)),
        ("random_flip", [image], L.RandomFlip("horizontal")),
        ("random_rotation", [image], L.RandomRotation(0.2)),
        ("random_translation", [image], L.RandomTranslation(0.1, (-0.2, 0.3), fill_mode="constant", fill_value=0.5)),
        ("random_zoom", [image], L.RandomZoom(0.2)),
        ("random_contrast", [image], L.RandomContrast(0.2)),
        ("category_encoding", [(5, 20)], L.CategoryEncoding(20, output_mode="multi_hot")),
        ("discretization", [flat], L.Discretization([-0.5, 0.0, 0.7])),
    ]
    for name, shapes, layer in all_cases:
        inputs = [make_input(shape) for shape in shapes]
        given = inputs if len(inputs) > 1 else inputs[0]
        yield name, keras.Model(inputs, layer(given), name=name)
    yield from special_cases(row, flat)


def make_input(shape):
    # (5, 20): 5 keys below 20.
    if len(shape) == 2 and shape[1] == 20:
        return keras.Input((shape[0],), dtype="int32", name=f"keys_{np.random.randint(1 << 30)}")
    return keras.Input(shape)


def special_cases(row, flat):
    x = keras.Input(row)
    yield "multi_head_attention", keras.Model(x, L.MultiHeadAttention(2, 3, value_dim=5, dropout=0.1)(x, x, use_causal_mask=True))
    q, v = keras.Input(row), keras.Input((5, 3))
    yield "cross_attention", keras.Model([q, v], L.MultiHeadAttention(2, 3, output_shape=6, use_bias=False)(q, value=v))
    yield "group_query_attention", keras.Model(x, L.GroupQueryAttention(2, 4, 2)(x, x))
    keys = keras.Input((6,))
    y = L.Embedding(12, 4, mask_zero=True)(keys)
    yield "masked_lstm", keras.Model(keys, L.Dense(2)(L.LSTM(3)(y)), name="masked_lstm")
    y = L.Embedding(12, 4, mask_zero=True)(keys)
    yield "masked_both_ways", keras.Model(keys, L.Bidirectional(L.GRU(3, return_sequences=True))(y))
    y = L.Masking(0.0)(x)
    yield "masking", keras.Model(x, L.SimpleRNN(3)(y))
    state = keras.Input((3,))
    yield "gru_with_state", keras.Model([x, state], L.GRU(3)(x, initial_state=state))
    inner = keras.Sequential([L.Dense(4, activation="relu"), L.Dense(3)], name="inner")
    z = keras.Input(flat)
    yield "model_in_sequential", keras.Sequential([keras.Input(flat), inner, L.Dense(2)])
    a = keras.Input((5,))
    b = keras.Input((5,))
    part = keras.Model([a, b], L.Add()([L.Dense(3)(a), L.Dense(3)(b)]), name="part")
    u = L.Dense(5)(z)
    w = L.Dense(5, activation="tanh")(z)
    yield "model_in_functional", keras.Model(z, [L.Dense(1, name="one")(part([u, w])), L.Dense(2, name="two")(u)])
    ops = keras.ops
    y = L.Dense(4)(z)
    y = ops.gelu(y, approximate=True) * 2.0 + 1.0
    y = (1.0 - y) / 3.0 - ops.relu(y) + ops.sigmoid(-y)
    y = ops.sum(ops.expand_dims(y, 1), axis=1, keepdims=True) + ops.mean(ops.square(x[:, :, :] if False else x), axis=1, keepdims=True)
    y = ops.reshape(ops.concatenate([y, y], axis=-1), (-1, 8))
    yield "operations", keras.Model([z, x], L.Dense(2)(y))
    # Branches whose layers Keras lists in another order than they were made.
    p = L.Dense(3, name="p")(z)
    deep = L.Dense(3, name="d2")(L.Dense(3, name="d1")(z))
    yield "branches", keras.Model(z, L.Add()([p, deep]))
