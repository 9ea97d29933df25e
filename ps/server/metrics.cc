#include "ps/server/metrics.h"

#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "distributed/cluster/address.h"
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

// Values that are looked up when they are asked for.
class LoadCollector final : public prometheus::Collectable {
 public:
  LoadCollector(std::string server, std::function<ServerLoad()> load)
      : server_(std::move(server)), load_(std::move(load)) {}

  std::vector<prometheus::MetricFamily> Collect() const override {
    const ServerLoad load = load_();
    std::vector<prometheus::MetricFamily> all;
    const auto add = [&](const char* name, const char* help, double value, Labels labels) {
      auto it = std::ranges::find(all, name, &prometheus::MetricFamily::name);
      if (it == all.end()) {
        all.push_back({name, help, prometheus::MetricType::Gauge, {}});
        it = std::prev(all.end());
      }
      prometheus::ClientMetric metric;
      labels.emplace_back("server", server_);
      for (auto& [key, text] : labels) metric.label.push_back({key, text});
      metric.gauge.value = value;
      it->metric.push_back(std::move(metric));
    };
    const auto number = [](int64_t value) { return static_cast<double>(value); };
    add("trireme_ps_queue", "pieces of work that wait for the shards' threads", number(load.queue),
        {});
    add("trireme_ps_table_bytes", "memory of all tables", number(load.table_bytes), {});
    add("trireme_ps_reserved_bytes", "memory of pushes that are not applied yet",
        number(load.reserved_bytes), {});
    add("trireme_ps_limit_bytes", "that the tables may take", number(load.limit_bytes), {});
    for (const SlotLoad& slot : load.slots) {
      const std::string name = std::to_string(slot.slot);
      add("trireme_ps_primary", "1: this server is the slot's primary, 0: its backup",
          slot.is_primary ? 1 : 0, {{"slot", name}});
      add("trireme_ps_step", "finished by all workers that count", number(slot.step),
          {{"slot", name}});
      add("trireme_ps_staleness", "steps from the slowest worker to the fastest",
          number(slot.staleness), {{"slot", name}});
      add("trireme_ps_waiting_pulls", "pulls that wait for other workers",
          number(slot.waiting_pulls), {{"slot", name}});
      add("trireme_ps_backup_lag", "log entries that the backup has not taken",
          number(slot.backup_lag), {{"slot", name}});
      for (const SlotLoad::ShardRows& shard : slot.shards) {
        const std::string of = std::to_string(shard.shard);
        add("trireme_ps_shard_rows_pulled", "rows pulled from a virtual shard",
            number(shard.pulled), {{"slot", name}, {"shard", of}});
        add("trireme_ps_shard_rows_pushed", "rows pushed to a virtual shard", number(shard.pushed),
            {{"slot", name}, {"shard", of}});
      }
      for (const TableLoad& table : slot.tables) {
        const Labels labels = {{"slot", name}, {"table", table.name}};
        add("trireme_ps_table_rows", "rows of a table", number(table.rows), labels);
        add("trireme_ps_table_memory_bytes", "memory of a table", number(table.bytes), labels);
        add("trireme_ps_table_waiting_keys", "keys that were seen and not admitted yet",
            number(table.waiting), labels);
        add("trireme_ps_table_evicted_rows", "rows that were evicted", number(table.evicted),
            labels);
      }
    }
    return all;
  }

 private:
  using Labels = std::vector<std::pair<std::string, std::string>>;
  const std::string server_;
  const std::function<ServerLoad()> load_;
};

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
      : name(std::to_string(server)),
        collector(std::make_shared<LoadCollector>(name, std::move(load))) {
    auto& requests = prometheus::BuildCounter()
                         .Name("trireme_ps_requests_total")
                         .Help("that came")
                         .Register(*registry);
    auto& in = prometheus::BuildCounter()
                   .Name("trireme_ps_received_bytes_total")
                   .Help("of requests")
                   .Register(*registry);
    auto& out = prometheus::BuildCounter()
                    .Name("trireme_ps_sent_bytes_total")
                    .Help("of answers")
                    .Register(*registry);
    auto& errors = prometheus::BuildCounter()
                       .Name("trireme_ps_errors_total")
                       .Help("answers that are errors")
                       .Register(*registry);
    auto& seconds = prometheus::BuildHistogram()
                        .Name("trireme_ps_latency_seconds")
                        .Help("from a request to its answer, waits for other workers included")
                        .Register(*registry);
    for (const char* kind : kKinds) {
      const prometheus::Labels labels = {{"server", name}, {"kind", kind}};
      kinds.push_back({requests.Add(labels), in.Add(labels), out.Add(labels), errors.Add(labels),
                       seconds.Add(labels, buckets())});
    }
  }

  const std::string name;
  const std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  const std::shared_ptr<LoadCollector> collector;
  std::vector<Kind> kinds;
  std::unique_ptr<prometheus::Exposer> exposer;
  std::string address;
};

Metrics::Metrics(int server, const std::string& listen, int port, std::function<ServerLoad()> load)
    : impl_(std::make_shared<Impl>(server, std::move(load))) {
  if (port < 0) return;
  try {
    impl_->exposer = std::make_unique<prometheus::Exposer>(cluster::to_string({listen, port}), 1);
  } catch (const std::exception& error) {
    throw Error(
        ErrorCode::kInvalidArgument,
        str_cat("/metrics of parameter server ", server, " cannot be served on ",
                cluster::to_string({listen, port}), ": ", error.what(), "; choose another port"));
  }
  impl_->exposer->RegisterCollectable(impl_->registry);
  impl_->exposer->RegisterCollectable(impl_->collector);
  impl_->address = cluster::to_string({listen, impl_->exposer->GetListeningPorts().front()});
}

Metrics::~Metrics() { impl_->exposer.reset(); }

std::string Metrics::address() const { return impl_->address; }

std::string Metrics::text() const {
  std::vector<prometheus::MetricFamily> all = impl_->registry->Collect();
  for (auto& family : impl_->collector->Collect()) all.push_back(std::move(family));
  return prometheus::TextSerializer().Serialize(all);
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
