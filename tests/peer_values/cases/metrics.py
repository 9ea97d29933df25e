"""Every metric of Keras, over two batches each.

Those of ranked scores have thresholds between any two scores in Keras, which takes 200 fixed ones;
ours are exact. Scores are probabilities here, so losses are given as taking them.
"""
import numpy as np

from peer import random, tensor


def made_with():
    import keras
    import tensorflow as tf

    return f"keras {keras.__version__}, tensorflow {tf.__version__}"


def cases():
    import keras

    M = keras.metrics
    r = random(23)
    found = []

    def softmax(x):
        e = np.exp(x - x.max(-1, keepdims=True))
        return (e / e.sum(-1, keepdims=True)).astype(np.float32)

    def add(name, text, metric, batches, loss="mean_squared_error {}", peer_of=None, weights=None, **more):
        """`peer_of(predictions, labels)`: what Keras's metric gets instead."""
        listed = []
        for i, (p, y) in enumerate(batches):
            kp, ky = peer_of(p, y) if peer_of else (p, y)
            w = weights[i] if weights else None
            metric.update_state(ky, kp, sample_weight=w)
            listed.append({"predictions": tensor(p), "labels": tensor(y)})
            if w is not None:
                listed[-1]["weights"] = tensor(w)
        case = {"kind": "metric", "name": name, "text": text, "loss": loss, "batches": listed,
                "value": float(np.asarray(metric.result()))}
        case.update(more)
        found.append(case)

    sparse, dense = "sparse_categorical_cross_entropy", "categorical_cross_entropy"
    binary = "binary_cross_entropy { from_logits: false }"
    logits = [r.normal(size=(n, 7)).astype(np.float32) for n in (9, 6)]
    classes = [r.integers(0, 7, n).astype(np.int64) for n in (9, 6)]
    one_hot = [np.eye(7, dtype=np.float32)[c] for c in classes]
    of_classes, of_one_hot = list(zip(logits, classes)), list(zip(logits, one_hot))
    probabilities = [(softmax(p), y) for p, y in of_one_hot]
    steps = [(r.normal(size=(n, 3, 4)).astype(np.float32), r.integers(0, 4, (n, 3)).astype(np.int64)) for n in (3, 2)]
    pairs = [(r.normal(size=(n, 3)).astype(np.float32), r.normal(size=(n, 3)).astype(np.float32)) for n in (6, 4)]
    rates = [(np.abs(p) + 0.2, r.integers(0, 6, p.shape).astype(np.float32)) for p, _ in pairs]
    scored = [(r.uniform(0, 1, (n, 3)).astype(np.float32), r.integers(0, 2, (n, 3)).astype(np.float32))
              for n in (8, 5)]
    signs = [(r.normal(size=y.shape).astype(np.float32), y * 2 - 1) for _, y in scored]
    # Between any two scores is one of Keras's 200 thresholds.
    grid = (r.permutation(60) + 20.5) / 100
    labels = (r.uniform(0, 1, 60) < grid).astype(np.float32)
    ranked = [(grid[:40].reshape(-1, 1).astype(np.float32), labels[:40].reshape(-1, 1)),
              (grid[40:].reshape(-1, 1).astype(np.float32), labels[40:].reshape(-1, 1))]
    weights = [r.uniform(0, 2, p.shape[0]).astype(np.float32) for p, _ in of_classes]

    add("accuracy_of_classes", "accuracy {}", M.SparseCategoricalAccuracy(), of_classes, sparse + " {}")
    add("accuracy_of_one_hot", "accuracy {}", M.CategoricalAccuracy(), of_one_hot, dense + " {}")
    add("accuracy_of_two", "accuracy {}", M.BinaryAccuracy(), scored, binary)
    add("accuracy_of_steps", "accuracy {}", M.SparseCategoricalAccuracy(), steps, sparse + " {}")
    add("sparse_categorical_accuracy", "sparse_categorical_accuracy {}", M.SparseCategoricalAccuracy(), of_classes,
        sparse + " {}")
    add("categorical_accuracy", "categorical_accuracy {}", M.CategoricalAccuracy(), of_one_hot, dense + " {}")
    add("binary_accuracy", "binary_accuracy { threshold: 0.3 }", M.BinaryAccuracy(threshold=0.3), scored, binary)
    add("sparse_top_k", "sparse_top_k_categorical_accuracy {}", M.SparseTopKCategoricalAccuracy(), of_classes,
        sparse + " {}")
    add("sparse_top_2", "sparse_top_k_categorical_accuracy { k: 2 }", M.SparseTopKCategoricalAccuracy(2), of_classes,
        sparse + " {}")
    add("top_k", "top_k_categorical_accuracy { k: 3 }", M.TopKCategoricalAccuracy(3), of_one_hot, dense + " {}")
    add("binary_cross_entropy", "binary_cross_entropy {}", M.BinaryCrossentropy(), scored, binary)
    add("categorical_cross_entropy", "categorical_cross_entropy {}", M.CategoricalCrossentropy(from_logits=True),
        of_one_hot, dense + " {}")
    add("sparse_categorical_cross_entropy", "sparse_categorical_cross_entropy {}",
        M.SparseCategoricalCrossentropy(from_logits=True), of_classes, sparse + " {}")
    mean = M.Mean()
    for p, y in steps:
        mean.update_state(keras.losses.sparse_categorical_crossentropy(y, p, True))
    add("perplexity", "perplexity {}", M.Mean(), [], sparse + " {}")
    found[-1]["batches"] = [{"predictions": tensor(p), "labels": tensor(y)} for p, y in steps]
    found[-1]["value"] = float(np.exp(mean.result()))
    add("kl_divergence", "kl_divergence {}", M.KLDivergence(),
        [(p, softmax(r.normal(size=p.shape))) for p, _ in probabilities], dense + " { from_logits: false }")
    add("poisson", "poisson {}", M.Poisson(), rates)
    add("mean_squared_error", "mean_squared_error {}", M.MeanSquaredError(), pairs)
    add("root_mean_squared_error", "root_mean_squared_error {}", M.RootMeanSquaredError(), pairs)
    add("mean_absolute_error", "mean_absolute_error {}", M.MeanAbsoluteError(), pairs)
    add("mean_absolute_percentage_error", "mean_absolute_percentage_error {}", M.MeanAbsolutePercentageError(), pairs)
    add("mean_squared_logarithmic_error", "mean_squared_logarithmic_error {}", M.MeanSquaredLogarithmicError(), rates)
    add("log_cosh", "log_cosh {}", M.LogCoshError(), pairs)
    add("cosine_similarity", "cosine_similarity {}", M.CosineSimilarity(), pairs)
    add("pearson_correlation", "pearson_correlation {}", M.PearsonCorrelation(), pairs)
    add("concordance_correlation", "concordance_correlation {}", M.ConcordanceCorrelation(), pairs)
    add("r2_score", "r2_score {}", M.R2Score(), pairs)
    add("r2_score_by_variance", "r2_score { by_variance: true }",
        M.R2Score(class_aggregation="variance_weighted_average"), pairs)
    add("hinge", "hinge {}", M.Hinge(), signs, "hinge {}")
    add("squared_hinge", "squared_hinge {}", M.SquaredHinge(), signs, "hinge {}")
    add("categorical_hinge", "categorical_hinge {}", M.CategoricalHinge(), of_one_hot, dense + " {}")
    add("mean", "mean {}", M.Mean(), [], "mean_squared_error {}")
    found[-1]["batches"] = [{"predictions": tensor(p), "labels": tensor(y)} for p, y in pairs]
    found[-1]["value"] = float(np.mean(np.concatenate([p for p, _ in pairs])))
    add("sum", "sum {}", M.Mean(), [], "mean_squared_error {}")
    found[-1]["batches"] = [{"predictions": tensor(p), "labels": tensor(y)} for p, y in pairs]
    found[-1]["value"] = float(np.sum(np.concatenate([p for p, _ in pairs])))

    # What was found and what is there. Keras adds 1e-7 to denominators.
    near = {"tolerance": 2e-5}
    for name, metric in [("true_positives", M.TruePositives), ("false_positives", M.FalsePositives),
                         ("true_negatives", M.TrueNegatives), ("false_negatives", M.FalseNegatives),
                         ("precision", M.Precision), ("recall", M.Recall)]:
        add(name, name + " {}", metric(), scored, binary)
        key = "threshold" if name not in ("precision", "recall") else "threshold"
        add(name + "_threshold", f"{name} {{ {key}: 0.7 }}", metric(thresholds=0.7), scored, binary)
    add("precision_of_a_class", "precision { class_id: 1 }", M.Precision(class_id=1), scored, binary)
    add("recall_of_a_class", "recall { class_id: 2 }", M.Recall(class_id=2), scored, binary)

    def as_one_hot(p, y):
        return np.eye(p.shape[1], dtype=np.float32)[p.argmax(1)], np.eye(p.shape[1], dtype=np.float32)[y]

    few = [(r.normal(size=(n, 3)).astype(np.float32), r.integers(0, 3, n).astype(np.int64)) for n in (12, 9)]
    for average in ("micro", "macro", "weighted"):
        add("f1_" + average, f"f1_score {{ average: {average.upper()} threshold: 0.5 }}", M.F1Score(average, 0.5),
            scored, binary, **near)
        add("f1_of_classes_" + average, f"f1_score {{ average: {average.upper()} }}", M.F1Score(average), few,
            sparse + " {}", as_one_hot, **near)
    add("f_beta", "f_beta_score { beta: 2 }", M.FBetaScore("macro", 2.0), few, sparse + " {}", as_one_hot, **near)
    add("precision_of_classes", "precision {}", M.Precision(), few, sparse + " {}", as_one_hot)
    add("recall_of_one_class", "recall { class_id: 1 }", M.Recall(class_id=1), few, sparse + " {}", as_one_hot)
    add("mean_iou", "mean_iou {}", M.MeanIoU(3), few, sparse + " {}", lambda p, y: (p.argmax(1), y), **near)
    add("iou", "iou { target_class_ids: 0 target_class_ids: 2 }", M.IoU(3, [0, 2]), few, sparse + " {}",
        lambda p, y: (p.argmax(1), y), **near)
    add("one_hot_iou", "one_hot_iou { target_class_ids: 1 }", M.OneHotIoU(7, [1]), of_one_hot, dense + " {}", **near)
    add("one_hot_mean_iou", "one_hot_mean_iou {}", M.OneHotMeanIoU(7), of_one_hot, dense + " {}", **near)
    add("binary_iou", "binary_iou {}", M.BinaryIoU(threshold=0.5), ranked, binary, **near)
    add("binary_iou_of_one", "binary_iou { target_class_ids: 1 threshold: 0.3 }", M.BinaryIoU([1], 0.3), ranked, binary,
        **near)

    # Ranks.
    add("auc", "auc {}", M.AUC(num_thresholds=2001), ranked, binary)
    add("auc_precision_recall", "auc { curve: PR }", M.AUC(num_thresholds=2001, curve="PR"), ranked, binary)
    for least in (0.3, 0.8):
        end = f"_{least}"
        add("precision_at_recall" + end, f"precision_at_recall {{ least: {least} }}", M.PrecisionAtRecall(least),
            ranked, binary)
        add("recall_at_precision" + end, f"recall_at_precision {{ least: {least} }}", M.RecallAtPrecision(least),
            ranked, binary)
        add("sensitivity_at_specificity" + end, f"sensitivity_at_specificity {{ least: {least} }}",
            M.SensitivityAtSpecificity(least), ranked, binary)
        add("specificity_at_sensitivity" + end, f"specificity_at_sensitivity {{ least: {least} }}",
            M.SpecificityAtSensitivity(least), ranked, binary)

    # Weighted.
    def weighted(name, text, metric, batches, loss, peer_of=None, **more):
        w = [r.uniform(0, 2, len(p)).astype(np.float32) for p, _ in batches]
        add("weighted_" + name, text, metric, batches, loss, peer_of, w, **more)

    weighted("accuracy", "accuracy {}", M.SparseCategoricalAccuracy(), of_classes, sparse + " {}")
    weighted("accuracy_of_steps", "accuracy {}", M.SparseCategoricalAccuracy(), steps, sparse + " {}")
    weighted("mean_squared_error", "mean_squared_error {}", M.MeanSquaredError(), pairs, "mean_squared_error {}")
    weighted("root_mean_squared_error", "root_mean_squared_error {}", M.RootMeanSquaredError(), pairs,
             "mean_squared_error {}")
    weighted("r2_score", "r2_score {}", M.R2Score(), pairs, "mean_squared_error {}")
    weighted("f1", "f1_score {}", M.F1Score("macro"), few, sparse + " {}", as_one_hot, **near)
    weighted("precision", "precision {}", M.Precision(), few, sparse + " {}", as_one_hot)
    return found
