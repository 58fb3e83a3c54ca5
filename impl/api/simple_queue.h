// SimpleQueue: a queue of which one only puts, gets and asks whether it is empty.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "api/queue.h"

namespace crucible {

/// A Queue without bound and time-outs, for who needs neither. Shared as a Queue is: with the processes forked from
/// one that has it, as `std::ref(queue)` with a Process. Any thread may call anything. Neither copied nor moved.
class SimpleQueue final {
 public:
  /// Over `queue`, which belongs to it from now on. See Context::simple_queue().
  explicit SimpleQueue(std::unique_ptr<Queue> queue) noexcept : queue_(std::move(queue)) {}
  SimpleQueue(const SimpleQueue&) = delete;
  SimpleQueue& operator=(const SimpleQueue&) = delete;
  ~SimpleQueue() = default;

  /// Handed over when it returns; waits while the storage is full. Throws EncodingError, and then nothing was put;
  /// Closed, Broken, BadLength.
  template <class T>
  void put(const T& value) {
    queue_->put(value);
  }
  /// Waits for a message. Throws EncodingError if it is no T (it is consumed), Closed, Broken.
  template <class T>
  [[nodiscard]] T get() {
    return queue_->get<T>();
  }
  /// Exact whenever nobody is inside a call. Throws Closed, Broken.
  [[nodiscard]] bool empty();
  /// As Queue::close().
  void close() noexcept;
  [[nodiscard]] bool closed() const noexcept { return queue_->closed(); }

  const std::string& address() const noexcept { return queue_->address(); }
  std::string_view mechanism() const noexcept { return queue_->mechanism(); }
  std::string_view form() const noexcept { return queue_->form(); }

 private:
  const std::unique_ptr<Queue> queue_;
};

}  // namespace crucible
