// PoolDispatcher: the two kinds of zygote, and how its children become workers.
#include <fcntl.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "api/mechanism.h"
#include "compose/pool_dispatcher.h"
#include "compose/pool_worker.h"
#include "core/function.h"
#include "core/process.h"

namespace crucible {
namespace {

constexpr const char* kZygote = "crucible-zygote";
constexpr const char* kWorker = "PoolWorker";

/// What a worker must know to find its owner.
struct Seed {
  std::string mechanism;
  std::string address;
  Bytes key;
  std::uint64_t workers = 0;
  std::uint64_t capacity = 0;
  std::optional<int> wait;
  MSGPACK_DEFINE(mechanism, address, key, workers, capacity, wait)
};

int live_as_worker(const Seed& seed, std::uint64_t id, pool_wire::Claims* claims,
                   const std::function<void()>& initializer) {
  DoorOptions door = {.authkey = seed.key, .pipe = {.capacity_bytes = seed.capacity}};
  if (seed.wait) door.pipe.wait = static_cast<WaitStrategy>(*seed.wait);
  const std::unique_ptr<Connection> owner = context(seed.mechanism).connect(seed.address, door);
  return serve_pool(*owner, id, claims[(id - 1) % seed.workers], initializer);
}

// The body of a zygote that was spawned.
void serve_spawned(Fd socket, Fd memory, const Seed& seed) {
  const auto claims = SealedMemory::adopt(memory.get(), seed.workers * sizeof(pool_wire::Claims));
  (void)memory.release();
  Zygote::serve(std::move(socket), kZygote, kWorker,
                [&](std::uint64_t id) { return live_as_worker(seed, id, claims->objects<pool_wire::Claims>(), {}); });
}
const Function serve_spawned_by_name{"crucible pool", &serve_spawned};

Seed seed_of(const PoolPlan& plan, const std::string& address, const DoorOptions& door) {
  Seed seed = {.mechanism = std::string(plan.carrier.mechanism),
               .address = address,
               .key = *door.authkey,
               .workers = plan.workers,
               .capacity = door.pipe.capacity_bytes,
               .wait = {}};
  if (door.pipe.wait) seed.wait = static_cast<int>(*door.pipe.wait);
  return seed;
}

Fd copy_of(int descriptor) {
  Fd copy(::fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
  if (!copy) throw_errno("fcntl(F_DUPFD_CLOEXEC)");
  return copy;
}

}  // namespace

void PoolDispatcher::fork_zygote() {
  const Seed seed = seed_of(plan_, listener_->address(), door_);
  const auto let_go = [this] {
    loop_.become_copy();
    board_.bell.reset();
  };
  zygote_.emplace(kZygote, kWorker, let_go,
                  [this, seed](std::uint64_t id) { return live_as_worker(seed, id, claims_, plan_.initializer); });
}

void PoolDispatcher::spawn_zygote() {
  zygote_.emplace([this](Fd socket) {
    auto process = std::make_unique<Process>(serve_spawned_by_name, std::move(socket), copy_of(memory_->descriptor()),
                                             seed_of(plan_, listener_->address(), door_));
    process->set_start_method("spawn");
    process->set_daemon(true);
    process->start();
    return process;
  });
}

}  // namespace crucible
