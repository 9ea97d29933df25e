"""What records_peer_test asks TensorFlow for.

tensorflow_records.py copy PACKING IN OUT   reads Examples and SequenceExamples with tf.data and tf.io.parse_*, and
                                            writes the values that it found
tensorflow_records.py pictures OUT          writes pictures with the pixels that TensorFlow decodes and resizes them to
Exits with 77 when there is no TensorFlow."""
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
try:
    import numpy as np
    import tensorflow as tf
except ImportError as error:
    print(error, file=sys.stderr)
    sys.exit(77)


def floats(values):
    return tf.train.Feature(float_list=tf.train.FloatList(value=np.asarray(values).ravel()))


def integers(values):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=np.asarray(values).ravel()))


def strings(values):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def example(**features):
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def copy(packing, source, target):
    context = {"x": tf.io.FixedLenFeature([3], tf.float32, [7.0, 7.0, 7.0]),
               "n": tf.io.RaggedFeature(tf.int64),
               "s": tf.io.RaggedFeature(tf.string)}
    steps = {"v": tf.io.FixedLenSequenceFeature([2], tf.float32, allow_missing=True)}
    with tf.io.TFRecordWriter(target, packing) as writer:
        for record in tf.data.TFRecordDataset(source, packing):
            values, lists, _ = tf.io.parse_sequence_example([record], context, steps)
            v = lists["v"].numpy()[0]
            writer.write(tf.train.SequenceExample(
                context=tf.train.Features(feature={"x": floats(values["x"].numpy()),
                                                   "n": integers(values["n"].values.numpy()),
                                                   "s": strings(list(values["s"].values.numpy()))}),
                feature_lists=tf.train.FeatureLists(feature_list={
                    "v": tf.train.FeatureList(feature=[floats(row) for row in v])})).SerializeToString())


def decode(packed, channels):
    # By default TensorFlow takes a less accurate cosine transform, which is no faster any more.
    if packed.numpy().startswith(b"\xff\xd8"):
        return tf.io.decode_jpeg(packed, channels=channels, dct_method="INTEGER_ACCURATE")
    return tf.io.decode_png(packed, channels=channels)


def pictures(target):
    rng = np.random.default_rng(1)
    with tf.io.TFRecordWriter(target) as writer:
        for height, width, channels in ((40, 31, 3), (17, 64, 3), (9, 8, 1), (100, 75, 3)):
            y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(channels), indexing="ij")
            smooth = 127 + 80 * np.sin(x / 5 + c) + 40 * np.cos(y / 7) + rng.normal(0, 8, x.shape)
            pixels = np.clip(smooth, 0, 255).astype(np.uint8)
            for packed in (tf.io.encode_png(pixels), tf.io.encode_jpeg(pixels, quality=75),
                           tf.io.encode_jpeg(pixels, quality=90, progressive=True, chroma_downsampling=False)):
                decoded = decode(packed, channels)
                gray = decode(packed, 1)
                writer.write(example(
                    picture=strings([packed.numpy()]), channels=integers([channels]),
                    pixels=strings([decoded.numpy().tobytes()]), gray=strings([gray.numpy().tobytes()]),
                    resized=floats(tf.image.resize(decoded, (24, 19))),
                    nearest=floats(tf.image.resize(decoded, (24, 19), method="nearest").numpy().astype(np.float32))))


if __name__ == "__main__":
    {"copy": copy, "pictures": pictures}[sys.argv[1]](*sys.argv[2:])
