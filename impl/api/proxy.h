// Proxy: a managed object as its clients see it.
#pragma once

#include <chrono>
#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "api/codec.h"
#include "api/deadline.h"
#include "api/object.h"
#include "api/object_server.h"
#include "api/reference.h"

namespace crucible::managed {

/// Throws what a call came to, unless it is kOk (true) or kTimeout (false).
bool require_answer(Status status, ByteView answer, const char* operation);

template <class R>
class Answer;

/// Calls methods of a managed object. A value: copies are the same object; so is what arrives where one was sent, in
/// any message, or inherited by a fork. The object lives as long as anything anywhere refers to it: a proxy, a message
/// on its way, another managed object. Two proxies are equal if they are of one object, whatever it holds.
///
/// Every call throws, besides what it says itself: what the method threw (api/remote_error.h), EncodingError before
/// anything is sent for arguments that cannot be encoded, Broken when the server is gone, Stale when another one is in
/// its place, Auth where its key is not known, StateError for a proxy of nothing. A call is done wholly or not at all;
/// of one that ended in Broken or Timeout it is not known which. Any thread; calls do not hold up one another.
class Proxy {
 public:
  Proxy() noexcept = default;
  explicit Proxy(Reference reference) : reference_(std::move(reference)) {}

  const Reference& reference() const noexcept { return reference_; }
  operator Object() const { return Object(reference_); }  // NOLINT(google-explicit-constructor): as an item of others
  explicit operator bool() const noexcept { return static_cast<bool>(reference_); }
  bool operator==(const Proxy& other) const noexcept { return reference_ == other.reference_; }

  /// Calls a method by its name. R: what it returns, void for nothing or not wanted.
  template <class R = Object, class... Args>
  R call(std::string_view method, const Args&... args) const {
    Bytes answer;
    if (!invoke(request(method, args...), answer, limit())) throw Timeout(std::string(method));
    return read<R>(answer);
  }
  /// False, or nothing: the duration passed first.
  template <class R = Object, class Rep, class Period, class... Args>
  auto call_for(std::chrono::duration<Rep, Period> duration, std::string_view method, const Args&... args) const {
    Bytes answer;
    const bool came = invoke(request(method, args...), answer, Deadline::after(duration));
    if constexpr (std::is_void_v<R>) {
      return came;
    } else {
      return came ? std::optional<R>(read<R>(answer)) : std::nullopt;
    }
  }
  /// Its answer is got later; many may be under way, and are begun there in order. What returns nothing has an answer
  /// of std::nullptr_t.
  template <class R = Object, class... Args>
  Answer<R> call_async(std::string_view method, const Args&... args) const {
    return Answer<R>(*this, begin(request(method, args...), limit()));
  }

  /// The object as text, as Object::to_string() has it.
  std::string text() const { return call<std::string>("text"); }

  /// From now on each call of this copy throws Timeout if it takes longer, moving the bytes included.
  void set_limit(std::chrono::nanoseconds duration) noexcept { limit_ = duration; }

 protected:
  template <class... Args>
  Encoded request(std::string_view method, const Args&... args) const {
    const ClientScope scope(server());
    return encode(
        std::tuple<std::uint64_t, std::string_view, const Args&...>(ObjectServer::thread_number(), method, args...));
  }
  template <class R>
  R read(ByteView answer) const {
    if constexpr (!std::is_void_v<R>) {
      const ClientScope scope(server());
      return decode<R>(answer);
    }
  }
  /// A call that waits there until `deadline`, of which the method is told. Nothing: it passed.
  template <class R, class... Args>
  std::optional<R> wait(std::string_view method, Deadline deadline, const Args&... args) const {
    Bytes answer;
    if (!invoke(request(method, patience(deadline), args...), answer, slack(deadline))) {
      if (deadline.is_never()) throw Timeout(std::string(method));
      return std::nullopt;
    }
    auto result = read<std::vector<R>>(answer);
    if (result.empty()) return std::nullopt;
    return std::move(result.front());
  }
  /// Nanoseconds from now as methods are told them: negative: for ever; 0: not at all.
  static std::int64_t patience(Deadline deadline) noexcept;
  /// Until when a call that waits until `deadline` is answered by any server that is not stopped.
  static constexpr std::chrono::seconds kSlack{5};
  Deadline slack(Deadline deadline) const noexcept;
  Deadline limit() const noexcept { return limit_ ? Deadline::after(*limit_) : Deadline::never(); }
  /// False: the deadline passed.
  bool invoke(const Encoded& request, Bytes& answer, Deadline deadline) const;
  std::unique_ptr<ObjectServer::Call> begin(const Encoded& request, Deadline deadline) const;
  ObjectServer& server() const;

 private:
  Reference reference_;
  std::optional<std::chrono::nanoseconds> limit_;
};

/// The same object with such a limit: `within(100ms, dict).get("key")`.
template <std::derived_from<Proxy> P, class Rep, class Period>
P within(std::chrono::duration<Rep, Period> duration, P proxy) {
  proxy.set_limit(std::chrono::duration_cast<std::chrono::nanoseconds>(duration));
  return proxy;
}

/// What Proxy::call_async returns. One thread at a time. Destroyed before it was got: what still waits there is
/// withdrawn, everything else is done.
template <class R>
class Answer : private Proxy {
 public:
  Answer(const Proxy& proxy, std::unique_ptr<ObjectServer::Call> call) : Proxy(proxy), call_(std::move(call)) {}
  /// Waits for it. As Proxy::call. StateError the second time.
  R get() { return *get_until(Deadline::never()); }
  /// Nothing: the duration passed first; it may be asked again.
  template <class Rep, class Period>
  std::optional<R> get_for(std::chrono::duration<Rep, Period> duration) {
    return get_until(Deadline::after(duration));
  }
  bool is_ready() const { return call_->is_ready(); }

 private:
  std::optional<R> get_until(Deadline deadline) {
    Bytes answer;
    if (!require_answer(call_->await(answer, deadline), answer, "get")) return std::nullopt;
    return read<R>(answer);
  }

  std::unique_ptr<ObjectServer::Call> call_;
};

}  // namespace crucible::managed

namespace msgpack {
MSGPACK_API_VERSION_NAMESPACE(MSGPACK_DEFAULT_API_NS) {
  namespace adaptor {

  template <class P>
  struct pack<P, std::enable_if_t<std::is_base_of_v<crucible::managed::Proxy, P>>> {
    template <class Stream>
    packer<Stream>& operator()(packer<Stream>& out, const P& proxy) const {
      return out.pack(proxy.reference());
    }
  };

  template <class P>
  struct convert<P, std::enable_if_t<std::is_base_of_v<crucible::managed::Proxy, P>>> {
    const msgpack::object& operator()(const msgpack::object& in, P& proxy) const {
      proxy = P(crucible::managed::Proxy(in.as<crucible::Reference>()));
      return in;
    }
  };

  }  // namespace adaptor
}
}  // namespace msgpack
