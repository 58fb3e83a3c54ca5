// Redis over its unix socket: a server of the benchmark's own, a child that nobody else can reach.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "support/side.h"
#include "support/store_plays.h"
#include "support/transfer.h"

namespace crucible::bench {

/// What is asked of it, by hiredis: values of so many bytes under so many keys.
struct RedisTask {
  enum class What { kDict, kPipelinedDict, kList };
  What what = What::kDict;
  Mix mix = {};
  std::size_t clients = 1, bytes = 0;
  std::uint64_t entries = 1000;
};

inline constexpr std::string_view kRedis = "redis";
/// So many are under way at a time where requests are pipelined.
inline constexpr std::size_t kPipelined = 64;

/// Throws UnsupportedCell: built without hiredis, or there is no redis-server here.
std::unique_ptr<Side> redis_side(const RedisTask& task, const Cpus& cpus);

}  // namespace crucible::bench
