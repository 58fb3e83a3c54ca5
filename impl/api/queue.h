// Queue: many producers, many consumers, in any number of processes and threads.
#pragma once

#include <chrono>
#include <cstddef>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/bytes.h"
#include "api/capabilities.h"
#include "api/codec.h"
#include "api/connection.h"
#include "api/deadline.h"
#include "api/listener.h"
#include "api/status.h"

namespace crucible {

/// How a queue is made. What a mechanism cannot honour it rounds up or refuses with BadArgument; never silently less.
struct QueueOptions {
  std::size_t maxsize = 0;                ///< messages; 0: bounded by the storage only
  std::size_t storage_bytes = 0;          ///< of payload; 0: the mechanism's default
  bool joinable = false;                  ///< counts the messages not yet done: task_done() and join()
  std::optional<WaitStrategy> wait = {};  ///< nothing: the mechanism's default. BadArgument unless it offers this one
  /// Of the named door: the key and its time limit. A queue without a name ignores it.
  DoorOptions door = {};
};

/// Every message goes to exactly one consumer; the messages of one producer keep their order, and all messages where
/// the form declares total_order. `put` hands its message over before it returns: it is there for every consumer, and
/// stays if the producer ends. A put waits while `maxsize` messages or the whole storage are taken.
///
/// Any number of threads and of processes forked from the creator call any member of the same object; unrelated ones
/// open it by its address. Handled signals never show. What a process does to its handle, close() above all, is nothing
/// to the others.
///
/// The virtual functions move bytes and return a Status; the templates below them move objects and throw. `x` waits,
/// `try_x` does not, `x_for` waits at most a duration. Deadlines cover the whole call, moving the bytes included.
class Queue {
 public:
  static constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();

  Queue() = default;
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  virtual ~Queue() = default;

  // --- Bytes: what a form implements ---------------------------------------------------------------------

  /// kOk: handed over. kTimeout: it stayed full; nothing was put. kBadLength at once if it can never fit. kClosed.
  /// kBroken: nobody can ever get it, since what carried the queue died.
  virtual Status put_bytes(ByteView message, Deadline deadline = Deadline::never()) = 0;
  /// Puts messages in order, with fewer system calls where the form can. `put` counts those handed over, also when the
  /// status is not kOk. Outcomes as put_bytes.
  virtual Status put_many(std::span<const ByteView> messages, std::size_t& put,
                          Deadline deadline = Deadline::never()) = 0;
  /// Takes the next message into `message`, which is resized. kTimeout: it stayed empty. kClosed, kBroken.
  virtual Status get_bytes(Bytes& message, Deadline deadline = Deadline::never()) = 0;
  /// Takes it into `buffer`; `received` is its length. kTooShort: it was longer; it is consumed, `received` is its
  /// length and all of it is in `*too_long` if given. Otherwise as get_bytes.
  virtual Status get_bytes_into(ByteSpan buffer, std::size_t& received, Deadline deadline = Deadline::never(),
                                Bytes* too_long = nullptr) = 0;
  /// Waits for one message and takes at most `most` of those that are there, with fewer system calls where the form
  /// can. kOk: `messages` holds at least one, and nothing else. kBadArgument: `most` is 0. Otherwise as get_bytes.
  virtual Status get_many(std::vector<Bytes>& messages, std::size_t most, Deadline deadline = Deadline::never()) = 0;

  /// Messages that can be taken, in `count`: exact whenever nobody is inside a call. kClosed, kBroken.
  virtual Status count(std::size_t& count) = 0;
  /// Whether a put of one byte would have to wait, in `is_full`. As count().
  virtual Status check_full(bool& is_full) = 0;

  /// One message that was got is done with; joinable queues only, else kState. kBadArgument: more often than messages
  /// were put. kClosed, kBroken.
  virtual Status task_done() = 0;
  /// Waits until every message that was put is done with; joinable queues only, else kState. kTimeout, kClosed,
  /// kBroken.
  virtual Status join_until(Deadline deadline) = 0;

  /// Closes this process's handle: whoever in this process is blocked on it returns kClosed, after which close()
  /// returns (such a thread must not block signal wake_signal(), core/gate.h). What was put stays. Idempotent, any
  /// thread.
  virtual void close() noexcept = 0;
  virtual bool closed() const noexcept = 0;
  /// As it was asked for.
  virtual std::size_t maxsize() const noexcept = 0;
  /// What open_queue() takes; empty if the queue has no name. Kept after close().
  virtual const std::string& address() const noexcept = 0;
  /// The name of the mechanism, and "native" or "composed".
  virtual std::string_view mechanism() const noexcept = 0;
  virtual std::string_view form() const noexcept = 0;

  // --- Bytes: the verb grammar ---------------------------------------------------------------------------

  Status try_put_bytes(ByteView message) { return put_bytes(message, Deadline::immediate()); }
  template <class R, class P>
  Status put_bytes_for(ByteView message, std::chrono::duration<R, P> duration) {
    return put_bytes(message, Deadline::after(duration));
  }
  Status try_get_bytes(Bytes& message) { return get_bytes(message, Deadline::immediate()); }
  template <class R, class P>
  Status get_bytes_for(Bytes& message, std::chrono::duration<R, P> duration) {
    return get_bytes(message, Deadline::after(duration));
  }

  // --- Objects: MessagePack, exceptions ------------------------------------------------------------------

  /// Throws the exception of the status that put_bytes returns, and EncodingError before anything is put.
  template <class T>
  void put(const T& value) {
    (void)finish(put_bytes(encode(value).view()), "put");
  }
  /// False: the queue is full.
  template <class T>
  [[nodiscard]] bool try_put(const T& value) {
    return finish(put_bytes(encode(value).view(), Deadline::immediate()), "try_put");
  }
  template <class T, class R, class P>
  [[nodiscard]] bool try_put_for(const T& value, std::chrono::duration<R, P> duration) {
    const Deadline deadline = Deadline::after(duration);
    return finish(put_bytes(encode(value).view(), deadline), "try_put_for");
  }
  /// Throws the exception of the status that get_bytes returns; EncodingError if the message is no T (it is consumed).
  template <class T>
  [[nodiscard]] T get() {
    return *get_until<T>(Deadline::never());
  }
  /// Nothing: the queue is empty.
  template <class T>
  [[nodiscard]] std::optional<T> try_get() {
    return get_until<T>(Deadline::immediate());
  }
  template <class T, class R, class P>
  [[nodiscard]] std::optional<T> try_get_for(std::chrono::duration<R, P> duration) {
    return get_until<T>(Deadline::after(duration));
  }
  /// Throw Closed, Broken.
  [[nodiscard]] std::size_t size();
  [[nodiscard]] bool empty();
  [[nodiscard]] bool full();
  /// Throws the exception of the status that task_done returns.
  void done();
  /// Throws the exception of the status that join_until returns.
  void join();
  /// Whether everything is done with.
  template <class R, class P>
  [[nodiscard]] bool join_for(std::chrono::duration<R, P> duration) {
    return finish(join_until(Deadline::after(duration)), "join_for");
  }

 private:
  static bool finish(Status status, const char* operation) {
    if (status != Status::kOk && status != Status::kTimeout) throw_status(status, operation);
    return status == Status::kOk;
  }
  template <class T>
  std::optional<T> get_until(Deadline deadline) {
    Bytes message;
    if (!finish(get_bytes(message, deadline), "get")) return std::nullopt;
    return decode<T>(message);
  }
};

/// One way in which a mechanism has a Queue.
struct QueueForm {
  std::string_view name;  ///< "native", "composed"
  Capabilities capabilities;
  std::span<const WaitStrategy> waits;  ///< as Mechanism::waits
  /// Without an address the queue is its creator's and the processes' forked from it. Throws BadArgument (the address
  /// is none of this scheme's, what the options ask for), Exists, std::system_error.
  std::unique_ptr<Queue> (*create)(const std::string& address, const QueueOptions& options);
  /// The queue that another program created there; bounds and joinable are its own. Null: the deadline passed first.
  /// Throws BadArgument, NotFound, Refused, Auth, std::system_error.
  std::unique_ptr<Queue> (*open)(const std::string& address, const QueueOptions& options, Deadline deadline);
};

}  // namespace crucible

namespace msgpack {
MSGPACK_API_VERSION_NAMESPACE(MSGPACK_DEFAULT_API_NS) {
  namespace adaptor {

  template <>
  struct pack<crucible::Queue> {
    template <class Stream>
    packer<Stream>& operator()(packer<Stream>& out, const crucible::Queue& /*queue*/) const {
      static_assert(sizeof(Stream) == 0, "a Queue travels in no message: give it to a Process, or send its address()");
      return out;
    }
  };

  }  // namespace adaptor
}
}  // namespace msgpack
