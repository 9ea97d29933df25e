"""Asks a started TensorBoard what it shows of a folder, and compares.

tensorboard_judge.py LOGDIR EXPECTED.json [SCREENSHOT.png]

EXPECTED: {"scalars": {run: {tag: [[step, value], …]}}, "histograms": {run: {tag: {"steps": […], "count": n}}},
"images": {run: {tag: [width, height, samples]}}, "texts": {run: {tag: part of the text}}, "graphs": [run, …],
"layers": {run: [name of a layer, …]}, "traces": {run: [tag, …]}, "devices": {run: device},
"sessions": {name: {"status": s, "hparams": {…}, "metrics": {tag: value}}}, "embeddings": {run: {name: [rows, columns]}}}

With both of TensorBoard's loaders, and with its EventAccumulator. Exit code 77: there is no TensorBoard."""
import json
import math
import os
import re
import shutil
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
import zlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
try:
    import tensorboard  # noqa: F401
    from tensorboard.backend.event_processing import event_accumulator
except ImportError:
    sys.exit(77)

LOGDIR, EXPECTED = sys.argv[1], json.load(open(sys.argv[2]))
# TensorBoard knows no more of a session that has not ended.
STATUS = {"unknown": "STATUS_UNKNOWN", "success": "STATUS_SUCCESS", "failure": "STATUS_FAILURE", "running": "STATUS_UNKNOWN"}
failures = []


def check(ok, *what):
    if not ok:
        failures.append(" ".join(str(w) for w in what)[:500])


def same(a, b):
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


class Server:
    def __init__(self, fast):
        self.name = "fast" if fast else "slow"
        self.lines = []
        # Port 0: a free one.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tensorboard.main", "--logdir", LOGDIR, "--port", "0", "--host", "127.0.0.1",
             f"--load_fast={'true' if fast else 'false'}", "--reload_interval", "1"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.url = None
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            found = re.search(r"at (http://[0-9.]+:\d+)/", line)
            if found:
                self.url = found.group(1)

    def wait(self, deadline):
        while self.url is None:
            if self.process.poll() is not None or time.time() > deadline:
                raise RuntimeError("tensorboard did not start: " + "".join(self.lines)[-2000:])
            time.sleep(0.05)

    def get(self, path, body=None, **query):
        url = f"{self.url}/data/{path}"
        if query:
            url += "?" + urllib.parse.urlencode(query)
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"} if data else {})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def json(self, path, body=None, **query):
        return json.loads(self.get(path, body, **query))

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


def pixels_of(png):
    """Width and height of a PNG whose pixels are all there."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n", png[:8]
    at, data = 8, b""
    while at < len(png):
        size, kind = struct.unpack(">I4s", png[at:at + 8])
        chunk = png[at + 8:at + 8 + size]
        assert struct.unpack(">I", png[at + 8 + size:at + 12 + size])[0] == zlib.crc32(kind + chunk)
        if kind == b"IHDR":
            width, height, depth, color = struct.unpack(">IIBB", chunk[:10])
        if kind == b"IDAT":
            data += chunk
        at += 12 + size
    channels = {0: 1, 2: 3, 6: 4}[color]
    assert depth == 8 and len(zlib.decompress(data)) == height * (1 + width * channels)
    return [width, height]


def is_loaded(server):
    """Whether everything that is expected is there: files are read while the server runs."""
    try:
        tags = server.json("plugin/scalars/tags")
        for run, expected in EXPECTED.get("scalars", {}).items():
            for tag, points in expected.items():
                if tag not in tags.get(run, {}):
                    return f"{run}: {tag}"
                if len(server.json("plugin/scalars/scalars", run=run, tag=tag)) < len(points):
                    return f"{run}: {tag}: too few points"
        for plugin in ("histograms", "images", "texts"):
            tags = server.json(f"plugin/{plugin.replace('texts', 'text')}/tags")
            for run, expected in EXPECTED.get(plugin, {}).items():
                for tag in expected:
                    if tag not in tags.get(run, {}):
                        return f"{plugin}: {run}: {tag}"
        return ""
    except (urllib.error.URLError, KeyError, ConnectionError) as error:
        return repr(error)


def judge(server):
    name = server.name
    for run, expected in EXPECTED.get("scalars", {}).items():
        for tag, points in expected.items():
            found = [[p[1], float(p[2]) if not isinstance(p[2], str) else float(p[2].lower().replace("infinity", "inf"))]
                     for p in server.json("plugin/scalars/scalars", run=run, tag=tag)]
            points = [[s, float("nan") if v is None else v] for s, v in points]
            fits = len(found) == len(points) and all(a[0] == b[0] and same(a[1], b[1]) for a, b in zip(found, points))
            check(fits, name, run, tag, "expected", points[:12], len(points), "found", found[:12], len(found))
    for run, expected in EXPECTED.get("histograms", {}).items():
        for tag, facts in expected.items():
            found = server.json("plugin/histograms/histograms", run=run, tag=tag)
            check([h[1] for h in found] == facts["steps"], name, run, tag, "steps", [h[1] for h in found])
            for histogram in found:
                buckets = histogram[2]
                check(len(buckets) == 30 and sum(b[2] for b in buckets) == facts["count"], name, run, tag, buckets[:3])
                check(all(a[1] == b[0] for a, b in zip(buckets, buckets[1:])) or buckets[0][0] == buckets[0][1], name, tag)
    for run, expected in EXPECTED.get("images", {}).items():
        for tag, (width, height, samples) in expected.items():
            for sample in range(samples):
                found = server.json("plugin/images/images", run=run, tag=tag, sample=sample)
                check(found, name, run, tag, sample, "no image")
                for image in found:
                    png = server.get("plugin/images/individualImage?" + image["query"])
                    check(pixels_of(png) == [width, height], name, run, tag, pixels_of(png))
    for run, expected in EXPECTED.get("texts", {}).items():
        for tag, part in expected.items():
            found = server.json("plugin/text/text", run=run, tag=tag)
            check(found and part in re.sub(r"<[^>]*>", "", found[0]["text"]), name, run, tag, part, found)
    if EXPECTED.get("graphs"):
        info = server.json("plugin/graphs/info")
        for run in EXPECTED["graphs"]:
            check(info.get(run, {}).get("run_graph"), name, run, "has no graph:", info)
            graph = server.get("plugin/graphs/graph", run=run, conceptual="false").decode()
            check("node {" in graph and "op: \"MatMul\"" in graph, name, run, graph[:200])
            device = EXPECTED.get("devices", {}).get(run)
            check(device is None or f'device: "{device}"' in graph, name, run, "no device", device)
            # Every input is a node.
            nodes = set(re.findall(r'^  name: "([^"]*)"', graph, re.M))
            inputs = {i.lstrip("^").split(":")[0] for i in re.findall(r'^  input: "([^"]*)"', graph, re.M)}
            check(inputs <= nodes, name, run, "inputs that are no nodes", list(inputs - nodes)[:5])
        for run, layers in EXPECTED.get("layers", {}).items():
            tags = info.get(run, {}).get("tags", {})
            check(any(t.get("conceptual_graph") for t in tags.values()), name, run, "no layers:", tags)
            tag = next((k for k, t in tags.items() if t.get("conceptual_graph")), None)
            if tag is None:
                continue
            graph = server.get("plugin/graphs/graph", run=run, tag=tag, conceptual="true").decode()
            for layer in layers:
                check(f'"{layer}"' in graph or f'/{layer}"' in graph, name, run, "no layer", layer, graph[:400])
        for run, tags in EXPECTED.get("traces", {}).items():
            for tag in tags:
                check(info.get(run, {}).get("tags", {}).get(tag, {}).get("profile"), name, run, tag, info.get(run))
                trace = server.get("plugin/graphs/run_metadata", run=run, tag=tag).decode()
                check("node_stats {" in trace and "all_end_rel_micros" in trace, name, run, tag, trace[:200])
    if EXPECTED.get("sessions"):
        judge_sessions(server)
    for run, expected in EXPECTED.get("embeddings", {}).items():
        info = server.json("plugin/projector/info", run=run)
        found = {e["tensorName"]: e["tensorShape"] for e in info["embeddings"]}
        check(found == expected, name, run, "embeddings", found)
        for tensor, (rows, columns) in expected.items():
            data = server.get("plugin/projector/tensor", run=run, name=tensor, num_rows=str(rows))
            check(len(data) == 4 * rows * columns, name, run, tensor, len(data))


def judge_sessions(server):
    name = server.name
    experiment = server.json("plugin/hparams/experiment", {"experimentName": ""})
    columns = {h["name"] for h in experiment["hparamInfos"]}
    sessions = EXPECTED["sessions"]
    wanted = {key for s in sessions.values() for key in s["hparams"]}
    check(wanted <= columns, name, "columns that are missing:", wanted - columns)
    request = {"experimentName": "", "allowedStatuses": [*STATUS.values(), "STATUS_RUNNING"],
               "colParams": [{"hparam": c, "includeInResult": True} for c in sorted(columns)],
               "startIndex": 0, "sliceSize": 1000}
    answer = server.json("plugin/hparams/session_groups", request)
    found = {}
    for group in answer["sessionGroups"]:
        for session in group["sessions"]:
            metrics = {(m["name"].get("group", ""), m["name"]["tag"]): m["value"] for m in session.get("metricValues", [])}
            found[session["name"]] = {"status": session["status"], "hparams": group["hparams"], "metrics": metrics}
    check(set(found) >= set(sessions), name, "sessions that are missing:", sorted(set(sessions) - set(found))[:5])
    for key, expected in sessions.items():
        session = found.get(key)
        if session is None:
            continue
        check(session["status"] == STATUS[expected["status"]], name, key, session["status"], expected["status"])
        check(all(same(session["hparams"].get(h), v) for h, v in expected["hparams"].items()), name, key,
              "hparams", session["hparams"], expected["hparams"])
        for metric, value in expected["metrics"].items():
            group, _, tag = metric.rpartition(":")
            check(session["metrics"].get((group, tag)) == value, name, key, metric, value, session["metrics"])


def judge_accumulator():
    for run, expected in EXPECTED.get("scalars", {}).items():
        events = event_accumulator.EventAccumulator(os.path.join(LOGDIR, run), size_guidance={"scalars": 0})
        events.Reload()
        for tag, points in expected.items():
            found = [[e.step, e.value] for e in events.Scalars(tag)]
            points = [[s, float("nan") if v is None else v] for s, v in points]
            fits = len(found) == len(points) and all(a[0] == b[0] and same(a[1], b[1]) for a, b in zip(found, points))
            check(fits, "EventAccumulator", run, tag, points[:5], found[:5])


def screenshot(server, path):
    browser = shutil.which("chromium")
    if browser:
        subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--screenshot={path}",
                        "--window-size=1500,1800", "--virtual-time-budget=20000", f"{server.url}/#scalars"],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)


def main():
    deadline = time.time() + 200
    servers = [Server(False), Server(True)]
    try:
        judge_accumulator()
        for server in servers:
            server.wait(deadline)
        for server in servers:
            missing = "nothing"
            while missing and time.time() < deadline:
                missing = is_loaded(server)
                time.sleep(0.2 if missing else 0)
            check(not missing, server.name, "was not loaded in time:", missing)
            judge(server)
        if len(sys.argv) > 3:
            screenshot(servers[0], sys.argv[3])
    finally:
        for server in servers:
            server.stop()
    for failure in failures[:40]:
        print(failure)
    print(f"{len(failures)} failures")
    sys.exit(1 if failures else 0)


main()
