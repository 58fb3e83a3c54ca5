#include "api/remote_error.h"

#include <cxxabi.h>
#include <unistd.h>

#include <any>
#include <array>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <typeindex>
#include <typeinfo>
#include <variant>

namespace crucible {
namespace {

constexpr std::string_view kOfTheSystem = "std::system_error, system";

// The type itself with the text that it had, whatever its constructor would make of it.
template <class E>
class Again final : public E, public RemoteInfo {
 public:
  explicit Again(const Failure& failure) : E(made_of(failure)), RemoteInfo(failure) {}
  const char* what() const noexcept override { return message().c_str(); }

 private:
  static E made_of([[maybe_unused]] const Failure& failure) {
    if constexpr (std::is_same_v<E, std::system_error>) {
      return {static_cast<int>(failure.code),
              failure.kind == kOfTheSystem ? std::system_category() : std::generic_category()};
    } else if constexpr (std::is_constructible_v<E, const std::string&>) {
      return E(failure.message);
    } else {
      return E();
    }
  }
};

struct Known {
  std::string_view kind;
  Status status;  ///< kOk: of no StatusError
  const std::type_info* type;
  void (*rethrow)(const Failure& failure);
};

template <class E>
Known known(std::string_view kind, Status status = Status::kOk) {
  return {kind, status, &typeid(E), [](const Failure& failure) { throw Again<E>(failure); }};
}
template <Status kStatus>
Known known_status() {
  return known<StatusError<kStatus>>("", kStatus);
}

const auto& known_types() {
  static const std::array kinds = {known<std::exception>("std::exception"),
                                   known<std::logic_error>("std::logic_error"),
                                   known<std::domain_error>("std::domain_error"),
                                   known<std::invalid_argument>("std::invalid_argument"),
                                   known<std::length_error>("std::length_error"),
                                   known<std::out_of_range>("std::out_of_range"),
                                   known<std::runtime_error>("std::runtime_error"),
                                   known<std::range_error>("std::range_error"),
                                   known<std::overflow_error>("std::overflow_error"),
                                   known<std::underflow_error>("std::underflow_error"),
                                   known<std::bad_alloc>("std::bad_alloc"),
                                   known<std::bad_array_new_length>("std::bad_array_new_length"),
                                   known<std::bad_cast>("std::bad_cast"),
                                   known<std::bad_typeid>("std::bad_typeid"),
                                   known<std::bad_exception>("std::bad_exception"),
                                   known<std::bad_function_call>("std::bad_function_call"),
                                   known<std::bad_optional_access>("std::bad_optional_access"),
                                   known<std::bad_variant_access>("std::bad_variant_access"),
                                   known<std::bad_any_cast>("std::bad_any_cast"),
                                   known<std::system_error>("std::system_error"),
                                   known<EncodingError>("EncodingError"),
                                   known_status<Status::kClosed>(),
                                   known_status<Status::kEof>(),
                                   known_status<Status::kBrokenPipe>(),
                                   known_status<Status::kWrongDirection>(),
                                   known_status<Status::kBadLength>(),
                                   known_status<Status::kTruncated>(),
                                   known_status<Status::kTooShort>(),
                                   known_status<Status::kBadArgument>(),
                                   known_status<Status::kUnsupported>(),
                                   known_status<Status::kState>(),
                                   known_status<Status::kAuth>(),
                                   known_status<Status::kNotFound>(),
                                   known_status<Status::kRefused>(),
                                   known_status<Status::kExists>(),
                                   known_status<Status::kBroken>(),
                                   known_status<Status::kBrokenBarrier>(),
                                   known_status<Status::kOwnerDied>(),
                                   known_status<Status::kNotOwner>(),
                                   known_status<Status::kOverRelease>(),
                                   known_status<Status::kTerminated>(),
                                   known_status<Status::kStale>()};
  return kinds;
}
// Before main: a fork beside a thread that is the first to ask would leave a child that waits for ever.
[[gnu::constructor]] void prepare_known_types() { (void)known_types(); }

std::string name_of(const std::type_info* type) {
  if (type == nullptr) return "an exception of unknown type";
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(abi::__cxa_demangle(type->name(), nullptr, nullptr, &status),
                                                         &std::free);
  return name != nullptr ? name.get() : type->name();
}

}  // namespace

RemoteError::RemoteError(const Failure& failure)
    : Error(failure.type + (failure.message.empty() ? "" : ": ") + failure.message + " (" + failure.where + ")"),
      RemoteInfo(failure) {}

Failure describe_failure(const std::exception_ptr& error, const std::string& where) {
  Failure failure = {.where = where};
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& caught) {
    failure.type = name_of(&typeid(caught));
    failure.message = caught.what();
    for (const Known& known : known_types()) {
      if (*known.type != typeid(caught)) continue;
      failure.status = static_cast<std::int64_t>(known.status);
      failure.kind = known.kind;
    }
    if (const auto* const system = dynamic_cast<const std::system_error*>(&caught)) {
      failure.code = system->code().value();
      if (!failure.kind.empty() && system->code().category() == std::system_category()) failure.kind = kOfTheSystem;
    }
    if (const auto* const remote = dynamic_cast<const RemoteInfo*>(&caught)) {
      failure = remote->failure();
      failure.where += ", through " + where;
    }
  } catch (...) {  // its type's name is all there is to say
    failure.type = name_of(abi::__cxa_current_exception_type());
  }
  return failure;
}

Failure failure_now() { return describe_failure(std::current_exception(), "process " + std::to_string(::getpid())); }

void rethrow_failure(const Failure& failure) {
  const std::string_view kind = failure.kind == kOfTheSystem ? "std::system_error" : std::string_view(failure.kind);
  for (const Known& known : known_types()) {
    const bool is_it = known.status != Status::kOk ? failure.status == static_cast<std::int64_t>(known.status)
                                                   : failure.status == 0 && known.kind == kind;
    if (is_it) known.rethrow(failure);
  }
  throw RemoteError(failure);
}

}  // namespace crucible
