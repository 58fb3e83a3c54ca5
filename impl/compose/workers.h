// Workers: threads for what may take long, made as they are needed.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

namespace crucible {

class Workers {
 public:
  static constexpr std::size_t kMostThreads = 256;

  Workers() : state_(std::make_shared<State>()) {}
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;
  ~Workers() { end(); }

  /// On a thread that is free, or a new one; beyond kMostThreads as soon as one is free. Throws std::system_error.
  void run(std::function<void()> job);
  /// No further job begins; waits for those that are running.
  void end() noexcept;

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable arrived;
    std::condition_variable left;
    std::deque<std::function<void()>> jobs;
    std::size_t threads = 0;
    std::size_t idle = 0;
    bool is_ending = false;
  };
  static void work(const std::shared_ptr<State>& state);

  const std::shared_ptr<State> state_;
};

/// Jobs that are done one at a time, in order.
class Strand : public std::enable_shared_from_this<Strand> {
 public:
  explicit Strand(Workers& workers) noexcept : workers_(workers) {}
  void run(std::function<void()> job);

 private:
  void go_on();

  Workers& workers_;
  std::mutex mutex_;
  std::deque<std::function<void()>> jobs_;
  bool is_busy_ = false;
};

}  // namespace crucible
