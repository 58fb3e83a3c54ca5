#include "compose/undertaker.h"

#include <pthread.h>

#include <csignal>
#include <thread>
#include <utility>

namespace crucible {

void Undertaker::take(std::unique_ptr<Connection> connection) {
  if (work_ == nullptr) {
    auto work = std::make_unique<Work>();
    std::thread([work = work.get()] { run(*work); }).detach();
    work_ = work.release();
  }
  const std::lock_guard lock(work_->mutex);
  work_->connections.push_back(std::move(connection));
  work_->arrived.notify_one();
}

void Undertaker::run(Work& work) {
  pthread_setname_np(pthread_self(), "crucible-close");
  std::unique_lock lock(work.mutex);
  while (true) {
    work.arrived.wait(lock, [&work] { return !work.connections.empty(); });
    std::vector<std::unique_ptr<Connection>> connections = std::exchange(work.connections, {});
    lock.unlock();
    connections.clear();
    lock.lock();
  }
}

}  // namespace crucible
