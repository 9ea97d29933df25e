#include "ps/server/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <array>
#include <cmath>
#include <cstring>

#include "distributed/metrics/metric_text.h"
#include "distributed/metrics/metrics_server.h"
#include "distributed/metrics/process_metrics.h"
#include "ps/protocol/wire.h"

namespace trireme::ps {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::array kKinds = {"pull", "push", "control", "entry", "move"};

constexpr int64_t kEnoughRows = 1'000;  // a shard

// From 10 µs to about 80 s, each twice the one before.
prometheus::Histogram::BucketBoundaries buckets() {
  prometheus::Histogram::BucketBoundaries bounds;
  for (int i = 0; i < 24; ++i) bounds.push_back(std::ldexp(1e-5, i));
  return bounds;
}

// What is looked up when somebody asks.
std::string text_of(const ServerLoad& load, const std::string& server) {
  MetricText text(MetricLabels{{"server", server}});
  const auto number = [](int64_t value) { return static_cast<double>(value); };
  text.gauge("trireme_ps_queue", "Pieces of work that wait for the shards' threads.",
             number(load.queue));
  text.gauge("trireme_ps_table_bytes", "Memory of all tables, in bytes.", number(load.table_bytes));
  text.gauge("trireme_ps_reserved_bytes", "Memory of pushes that are not applied yet, in bytes.",
             number(load.reserved_bytes));
  text.gauge("trireme_ps_limit_bytes", "Memory that the tables may take, in bytes.",
             number(load.limit_bytes));
  // Samples of one family stand side by side.
  const auto each_slot = [&](auto add) {
    for (const SlotLoad& slot : load.slots) add(slot, std::to_string(slot.slot));
  };
  const auto slot_gauge = [&](const char* name, const char* help, auto value) {
    each_slot([&](const SlotLoad& slot, const std::string& index) {
      text.gauge(name, help, number(value(slot)), {{"slot", index}});
    });
  };
  slot_gauge("trireme_ps_primary", "1: this server is the slot's primary, 0: its backup.",
             [](const SlotLoad& slot) { return slot.is_primary ? 1 : 0; });
  slot_gauge("trireme_ps_step", "The step that all workers that count have finished.",
             [](const SlotLoad& slot) { return slot.step; });
  slot_gauge("trireme_ps_staleness", "Steps from the slowest worker to the fastest.",
             [](const SlotLoad& slot) { return slot.staleness; });
  slot_gauge("trireme_ps_waiting_pulls", "Pulls that wait for other workers.",
             [](const SlotLoad& slot) { return slot.waiting_pulls; });
  slot_gauge("trireme_ps_backup_lag", "Log entries that the backup has not taken.",
             [](const SlotLoad& slot) { return slot.backup_lag; });
  const auto shard_counter = [&](const char* name, const char* help, auto value) {
    each_slot([&](const SlotLoad& slot, const std::string& index) {
      for (const SlotLoad::ShardRows& shard : slot.shards) {
        text.counter(name, help, number(value(shard)),
                     {{"slot", index}, {"shard", std::to_string(shard.shard)}});
      }
    });
  };
  shard_counter("trireme_ps_shard_rows_pulled_total", "Rows pulled from a virtual shard.",
                [](const SlotLoad::ShardRows& shard) { return shard.pulled; });
  shard_counter("trireme_ps_shard_rows_pushed_total", "Rows pushed to a virtual shard.",
                [](const SlotLoad::ShardRows& shard) { return shard.pushed; });
  const auto each_table = [&](auto add) {
    each_slot([&](const SlotLoad& slot, const std::string& index) {
      for (const TableLoad& table : slot.tables) {
        add(table, MetricLabels{{"slot", index}, {"table", table.name}});
      }
    });
  };
  const auto table_gauge = [&](const char* name, const char* help, auto value) {
    each_table([&](const TableLoad& table, const MetricLabels& labels) {
      text.gauge(name, help, number(value(table)), labels);
    });
  };
  table_gauge("trireme_ps_table_rows", "Rows of a table.",
              [](const TableLoad& table) { return table.rows; });
  table_gauge("trireme_ps_table_memory_bytes", "Memory of a table, in bytes.",
              [](const TableLoad& table) { return table.bytes; });
  table_gauge("trireme_ps_table_waiting_keys", "Keys that were seen and not admitted yet.",
              [](const TableLoad& table) { return table.waiting; });
  each_table([&](const TableLoad& table, const MetricLabels& labels) {
    text.counter("trireme_ps_table_evicted_rows_total", "Rows that were evicted.",
                 number(table.evicted), labels);
  });
  return text.str();
}

}  // namespace

std::string describe_uneven(const ServerLoad& load) {
  int64_t sum = 0, most = 0, count = 0;
  int slot = 0, shard = 0;
  for (const SlotLoad& s : load.slots) {
    if (!s.is_primary) continue;
    for (const SlotLoad::ShardRows& rows : s.shards) {
      const int64_t both = rows.pulled + rows.pushed;
      sum += both;
      ++count;
      if (both > most) {
        most = both;
        slot = s.slot;
        shard = rows.shard;
      }
    }
  }
  // Few rows are never even.
  if (sum < kEnoughRows * count || most * count <= 2 * sum) return "";
  const double share = 100.0 * static_cast<double>(most) / static_cast<double>(sum);
  const double times = static_cast<double>(most * count) / static_cast<double>(sum);
  return str_cat("virtual shard ", shard, " of slot ", slot, " has ", std::round(share * 10) / 10,
                 "% of the rows that came and went, ", std::round(times * 10) / 10,
                 " times the mean of ", count, " shards");
}

struct Metrics::Impl {
  struct Kind {
    prometheus::Counter& requests;
    prometheus::Counter& bytes_in;
    prometheus::Counter& bytes_out;
    prometheus::Counter& errors;
    prometheus::Histogram& seconds;
  };

  Impl(int server, std::function<ServerLoad()> load)
      : name(std::to_string(server)), look_up(std::move(load)) {
    auto& requests = prometheus::BuildCounter()
                         .Name("trireme_ps_requests_total")
                         .Help("Requests that came.")
                         .Register(*registry);
    auto& in = prometheus::BuildCounter()
                   .Name("trireme_ps_received_bytes_total")
                   .Help("Bytes of requests.")
                   .Register(*registry);
    auto& out = prometheus::BuildCounter()
                    .Name("trireme_ps_sent_bytes_total")
                    .Help("Bytes of answers.")
                    .Register(*registry);
    auto& errors = prometheus::BuildCounter()
                       .Name("trireme_ps_errors_total")
                       .Help("Answers that are errors.")
                       .Register(*registry);
    auto& seconds =
        prometheus::BuildHistogram()
            .Name("trireme_ps_latency_seconds")
            .Help("Seconds from a request to its answer, waits for other workers included.")
            .Register(*registry);
    for (const char* kind : kKinds) {
      const prometheus::Labels labels = {{"server", name}, {"kind", kind}};
      kinds.push_back({requests.Add(labels), in.Add(labels), out.Add(labels), errors.Add(labels),
                       seconds.Add(labels, buckets())});
    }
  }

  const std::string name;
  const std::function<ServerLoad()> look_up;
  const std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  std::vector<Kind> kinds;
  ProcessMetrics process;
  std::unique_ptr<MetricsServer> server;
};

Metrics::Metrics(int server, const std::optional<MetricsAddress>& address,
                 std::function<ServerLoad()> load)
    : impl_(std::make_shared<Impl>(server, std::move(load))) {
  if (!address) return;
  impl_->server =
      std::make_unique<MetricsServer>(*address, [this] { return text() + impl_->process.text(); });
}

Metrics::~Metrics() { impl_->server.reset(); }

std::string Metrics::address() const { return impl_->server ? impl_->server->address() : ""; }

std::string Metrics::text() const {
  return prometheus::TextSerializer().Serialize(impl_->registry->Collect()) +
         text_of(impl_->look_up(), impl_->name);
}

std::unique_ptr<Responder> Metrics::count(Kind kind, size_t bytes,
                                          std::unique_ptr<Responder> responder) {
  class Counting final : public Responder {
   public:
    Counting(std::shared_ptr<Impl> impl, Impl::Kind& kind, std::unique_ptr<Responder> inner)
        : impl_(std::move(impl)), kind_(kind), inner_(std::move(inner)) {}
    void answer(OutMessage message) override {
      kind_.seconds.Observe(std::chrono::duration<double>(Clock::now() - begun_).count());
      kind_.bytes_out.Increment(static_cast<double>(message.bytes()));
      AnswerHeader header;
      if (!message.pieces.empty() && message.pieces.front().bytes.size() >= sizeof(header)) {
        std::memcpy(&header, message.pieces.front().bytes.data(), sizeof(header));
        if (header.code == AnswerCode::kError) kind_.errors.Increment();
      }
      inner_->answer(std::move(message));
    }

   private:
    const std::shared_ptr<Impl> impl_;
    Impl::Kind& kind_;
    const std::unique_ptr<Responder> inner_;
    const Clock::time_point begun_ = Clock::now();
  };
  Impl::Kind& counters = impl_->kinds[static_cast<size_t>(kind)];
  counters.requests.Increment();
  counters.bytes_in.Increment(static_cast<double>(bytes));
  return std::make_unique<Counting>(impl_, counters, std::move(responder));
}

}  // namespace trireme::ps
