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
class Again final : public E, public RemoteOrigin {
 public:
  explicit Again(const Fault& fault) : E(made_of(fault)), RemoteOrigin(fault) {}
  const char* what() const noexcept override { return message().c_str(); }

 private:
  static E made_of([[maybe_unused]] const Fault& fault) {
    if constexpr (std::is_same_v<E, std::system_error>) {
      return {fault.code, fault.kind == kOfTheSystem ? std::system_category() : std::generic_category()};
    } else if constexpr (std::is_constructible_v<E, const std::string&>) {
      return E(fault.message);
    } else {
      return E();
    }
  }
};

struct Known {
  std::string_view kind;
  const std::type_info* type;
  void (*rethrow)(const Fault& fault);
};

template <class E>
constexpr Known known(std::string_view kind) {
  return {kind, &typeid(E), [](const Fault& fault) { throw Again<E>(fault); }};
}
template <Status kStatus>
Known known_status() {
  return known<StatusError<kStatus>>(to_string(kStatus));
}

const auto& known_types() {
  static const std::array kTypes = {known<std::exception>("std::exception"),
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
                                    known_status<Status::kTerminated>()};
  return kTypes;
}

std::string name_of(const std::type_info* type) {
  if (type == nullptr) return "an exception of unknown type";
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(abi::__cxa_demangle(type->name(), nullptr, nullptr, &status),
                                                         &std::free);
  return name != nullptr ? name.get() : type->name();
}

}  // namespace

RemoteError::RemoteError(const Fault& fault)
    : Error(fault.type + (fault.message.empty() ? "" : ": ") + fault.message + " [" + fault.origin + "]"),
      RemoteOrigin(fault) {}

Fault Fault::current() {
  const std::type_info* const type = abi::__cxa_current_exception_type();
  Fault fault = {.type = name_of(type), .message = {}, .origin = {}, .kind = {}, .code = 0};
  fault.origin = "process " + std::to_string(::getpid());
  for (const Known& known : known_types()) {
    if (type != nullptr && *known.type == *type) fault.kind = known.kind;
  }
  try {
    throw;
  } catch (const std::system_error& error) {
    fault.message = error.what();
    fault.code = error.code().value();
    if (!fault.kind.empty() && error.code().category() == std::system_category()) fault.kind = kOfTheSystem;
  } catch (const std::exception& error) {
    fault.message = error.what();
  } catch (...) {  // its type's name is all there is to say
  }
  try {
    throw;
  } catch (const RemoteOrigin& remote) {  // it came from a third process, and goes on as what it was there
    fault = {.type = remote.fault().type,
             .message = remote.fault().message,
             .origin = remote.fault().origin + ", through " + fault.origin,
             .kind = remote.fault().kind,
             .code = remote.fault().code};
  } catch (...) {
  }
  return fault;
}

void rethrow(const Fault& fault) {
  const std::string_view kind = fault.kind == kOfTheSystem ? "std::system_error" : std::string_view(fault.kind);
  for (const Known& known : known_types()) {
    if (known.kind == kind) known.rethrow(fault);
  }
  throw RemoteError(fault);
}

}  // namespace crucible
