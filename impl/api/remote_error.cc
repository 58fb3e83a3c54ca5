#include "api/remote_error.h"

#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>
#include <typeinfo>

namespace crucible {
namespace {

std::string demangled(const std::type_info& type) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(abi::__cxa_demangle(type.name(), nullptr, nullptr, &status),
                                                         &std::free);
  return name ? std::string(name.get()) : std::string(type.name());
}

constexpr int kLast = static_cast<int>(Status::kLast);

template <int kStatus>
int status_from(const std::exception& error) {
  if constexpr (kStatus > kLast) {
    return 0;
  } else {
    if (dynamic_cast<const StatusError<static_cast<Status>(kStatus)>*>(&error) != nullptr) return kStatus;
    return status_from<kStatus + 1>(error);
  }
}

template <class E>
void rethrow_as(const char* type, const Failure& failure) {
  if (failure.type != type) return;
  if constexpr (std::is_constructible_v<E, const std::string&>) {
    throw RemoteStd<E>(E(failure.message), failure.type, failure.message, failure.where);
  } else {
    throw RemoteStd<E>(E(), failure.type, failure.message, failure.where);
  }
}

}  // namespace

Failure describe_failure(const std::exception_ptr& error, const std::string& where) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& caught) {
    return {
        .status = status_from<1>(caught), .type = demangled(typeid(caught)), .message = caught.what(), .where = where};
  } catch (...) {
    const std::type_info* const type = abi::__cxa_current_exception_type();
    return {.type = type != nullptr ? demangled(*type) : std::string(),
            .message = "it is no std::exception",
            .where = where};
  }
}

void rethrow_failure(const Failure& failure) {
  if (failure.status > 0 && failure.status <= kLast && static_cast<Status>(failure.status) != Status::kTimeout) {
    const std::size_t colon = failure.message.find(": ");
    const std::string text = colon == std::string::npos ? failure.message : failure.message.substr(colon + 2);
    throw_status(static_cast<Status>(failure.status), (text + " (" + failure.where + ")").c_str());
  }
  rethrow_as<std::out_of_range>("std::out_of_range", failure);
  rethrow_as<std::invalid_argument>("std::invalid_argument", failure);
  rethrow_as<std::length_error>("std::length_error", failure);
  rethrow_as<std::domain_error>("std::domain_error", failure);
  rethrow_as<std::logic_error>("std::logic_error", failure);
  rethrow_as<std::range_error>("std::range_error", failure);
  rethrow_as<std::overflow_error>("std::overflow_error", failure);
  rethrow_as<std::underflow_error>("std::underflow_error", failure);
  rethrow_as<std::runtime_error>("std::runtime_error", failure);
  rethrow_as<std::bad_alloc>("std::bad_alloc", failure);
  throw RemoteError(failure.type, failure.message, failure.where);
}

}  // namespace crucible
