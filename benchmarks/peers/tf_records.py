"""tf.data beside `trireme bench readers`: records read from the page cache, Examples of 40 features parsed, pictures
decoded, on one thread. One JSON line a case.

    python tf_records.py [FOLDER]
"""
import json
import os
import sys
import tempfile
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
import numpy as np
import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)


def median_seconds(body, repetitions=5):
    body()
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        body()
        times.append(time.perf_counter() - start)
    return sorted(times)[repetitions // 2]


def report(case, unit, amount, body):
    seconds = median_seconds(body)
    print(json.dumps({"case": case, "seconds": seconds, unit: amount / seconds}), flush=True)


def drain(dataset):
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    # All of it within one call, so that Python's time does not count.
    return lambda: dataset.with_options(options).reduce(np.int64(0), lambda n, _: n + 1).numpy()


def feature(value):
    if isinstance(value, int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    return tf.train.Feature(float_list=tf.train.FloatList(value=value))


def main():
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        path = os.path.join(folder, "records")
        rng = np.random.default_rng(1)
        for name, size, count in (("100k", 100_000, 2_000), ("1k", 1_000, 200_000)):
            record = rng.bytes(size)
            with tf.io.TFRecordWriter(path) as writer:
                for _ in range(count):
                    writer.write(record)
            report("tfrecord_read_" + name, "gb_s", size * count / 1e9,
                   drain(tf.data.TFRecordDataset(path, buffer_size=1 << 20)))
        examples = 20_000
        with tf.io.TFRecordWriter(path) as writer:
            for _ in range(examples):
                values = {f"number{i}": feature(rng.uniform(-1, 1, 1)) for i in range(13)}
                values["vector"] = feature(rng.uniform(-1, 1, 16))
                values.update({f"category{i}": feature(int(rng.integers(1_000_000))) for i in range(26)})
                writer.write(tf.train.Example(features=tf.train.Features(feature=values)).SerializeToString())
        wanted = {f"number{i}": tf.io.FixedLenFeature([], tf.float32) for i in range(13)}
        wanted["vector"] = tf.io.FixedLenFeature([16], tf.float32)
        wanted.update({f"category{i}": tf.io.FixedLenFeature([], tf.int64) for i in range(26)})
        report("example_parse_40", "examples_s", examples,
               drain(tf.data.TFRecordDataset(path).batch(256).map(lambda r: tf.io.parse_example(r, wanted)["vector"])))


if __name__ == "__main__":
    main()
