// Function: what a process that is no fork of this one, but runs the same program, finds by its name.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "api/bytes.h"
#include "api/codec.h"
#include "api/connection.h"
#include "api/pool_task.h"
#include "api/status.h"
#include "core/fd.h"

namespace crucible {

/// The arguments of a call that another process makes, in order: values as the codec writes them, ends of pipes as
/// their handles, descriptors as their places among the descriptors that are handed over with the call.
class PackedArguments {
 public:
  template <class T>
  void put(const T& value) {
    const Encoded encoded = encode(value);
    items_.push_back({.value = Bytes(encoded.view().begin(), encoded.view().end()), .mechanism = {}, .descriptors = 0});
  }
  /// Throws as Connection::handle() does; BadArgument for no end.
  void put_end(const Connection* end);
  void put_descriptor(const Fd& descriptor);

  template <class T>
  T take() {
    return decode<T>(next().value);
  }
  /// Throws as Mechanism::adopt does.
  std::unique_ptr<Connection> take_end();
  Fd take_descriptor();

  /// In the process that calls: what must be open in the other one, which owns copies. Still the arguments' own.
  const std::vector<int>& descriptors() const noexcept { return descriptors_; }
  /// In the other one: they are the open ones from `first` on. What is not taken is closed in the end.
  void receive_descriptors(int first);

  struct Item {
    Bytes value;
    std::string mechanism;          ///< of an end, whose state is in `value`
    std::uint32_t descriptors = 0;  ///< how many of them are this item's
    MSGPACK_DEFINE(value, mechanism, descriptors)
  };
  MSGPACK_DEFINE(items_)

 private:
  Item& next();
  std::span<Fd> next_descriptors(const Item& item);

  std::vector<Item> items_;
  std::vector<int> descriptors_;
  std::size_t taken_ = 0;
  std::vector<Fd> received_;
  std::size_t descriptors_taken_ = 0;
};

/// A call with its arguments; its result is an exit code.
using Body = std::function<int()>;
/// Unpacks the arguments of one function. Throws EncodingError if they are not its own.
using Unpacker = std::function<Body(PackedArguments&)>;
/// Throws BadArgument for a name that is taken.
void register_function(std::string_view name, Unpacker unpack);
/// Null if there is no function of this name.
const Unpacker* find_function(std::string_view name);

/// A function as a Pool's worker calls it.
struct NamedTask {
  PoolTask::Code one;
  PoolTask::Code chunk;
  const void* function;
};
void register_task(std::string_view name, const NamedTask& task);
/// Null if there is no such function, or if its parameters are more than values.
const NamedTask* find_task(std::string_view name);

/// What a body that may return nothing means as an exit code.
template <class Call>
int exit_code_of(Call call) {
  using Result = std::invoke_result_t<Call>;
  static_assert(std::is_void_v<Result> || std::is_convertible_v<Result, int>,
                "a process's target returns nothing or its exit code");
  if constexpr (std::is_void_v<Result>) {
    call();
    return 0;
  } else {
    return static_cast<int>(call());
  }
}

/// A function under a name that is its own in the whole program:
///   inline const crucible::Function worker{"worker", &work};
/// A Process made of it can be started by every method, one made of a closure by fork only. It is a Pool's task, too.
/// A Process's returns nothing or an exit code. Its parameters are values
/// that the codec knows, crucible::Fd, and ends of pipes as `Connection&` or `std::unique_ptr<Connection>`. Copies are
/// the same function. Names are taken for good: make it a global, and before crucible::init().
template <class Result, class... Parameters>
class Function {
 public:
  /// Throws BadArgument for a name that is taken.
  Function(std::string_view name, Result (*function)(Parameters...)) : name_(name), function_(function) {
    register_function(name, [function](PackedArguments& arguments) -> Body {
      if constexpr (!std::is_void_v<Result> && !std::is_convertible_v<Result, int>) {
        throw BadArgument("start: a process's target returns nothing or its exit code");
      } else {
        // Braces: in the order of the parameters.
        auto values = std::make_shared<std::tuple<Held<Parameters>...>>(
            std::tuple<Held<Parameters>...>{take<Held<Parameters>>(arguments)...});
        return [function, values] {
          return exit_code_of([&] {
            return std::apply([&](auto&... value) { return function(give<Parameters>(value)...); }, *values);
          });
        };
      }
    });
    if constexpr ((kIsValue<Parameters> && ...)) {
      using Code = TaskCode<Result (*)(Parameters...)>;
      register_task(name, {.one = &Code::one, .chunk = &Code::chunk, .function = Code::address(function)});
    }
  }

  const std::string& name() const noexcept { return name_; }
  Result (*target() const noexcept)(Parameters...) { return function_; }
  Result operator()(Parameters... parameters) const { return function_(std::forward<Parameters>(parameters)...); }

  /// Calls it with arguments that it may use up; a std::unique_ptr<T> fits a parameter that is a T&.
  template <class... Arguments>
  int call(Arguments&... arguments) const {
    return exit_code_of([&] { return function_(open<Parameters>(arguments)...); });
  }
  /// Throws EncodingError, and what PackedArguments::put_end does.
  template <class... Arguments>
  void pack(PackedArguments& to, const Arguments&... arguments) const {
    static_assert(sizeof...(Arguments) == sizeof...(Parameters), "the function takes another number of arguments");
    (put<Parameters>(to, arguments), ...);
  }

 private:
  template <class T>
  static constexpr bool kIsConnection = std::same_as<std::decay_t<T>, Connection>;
  /// What the called process holds while the function runs.
  template <class T>
  using Held =
      std::conditional_t<std::is_base_of_v<Connection, std::decay_t<T>>, std::unique_ptr<Connection>, std::decay_t<T>>;
  template <class T>
  static constexpr bool kIsValue = !std::same_as<Held<T>, std::unique_ptr<Connection>> && !std::same_as<Held<T>, Fd>;
  template <class T>
  static constexpr bool kIsEnd = std::same_as<Held<T>, std::unique_ptr<Connection>>;
  static_assert(((!std::is_pointer_v<Held<Parameters>> && !std::same_as<Held<Parameters>, std::string_view>) && ...),
                "another process is given values: std::string instead of a pointer or a view");
  static_assert(((!std::is_base_of_v<Connection, std::decay_t<Parameters>> || kIsConnection<Parameters>) && ...),
                "an end is taken as crucible::Connection&, whatever its mechanism");

  template <class Parameter, class Argument>
  static decltype(auto) open(Argument& argument) {
    if constexpr (std::is_convertible_v<Argument&&, Parameter>) {
      return std::move(argument);
    } else {
      return *argument;
    }
  }
  template <class Parameter, class Argument>
  static void put(PackedArguments& to, const Argument& argument) {
    using Value = Held<Parameter>;
    if constexpr (kIsEnd<Parameter>) {
      to.put_end(argument.get());
    } else if constexpr (std::same_as<Value, Fd>) {
      to.put_descriptor(argument);
    } else if constexpr (std::same_as<Value, Argument>) {
      to.put(argument);
    } else if constexpr (std::is_constructible_v<Value, const Argument&>) {
      to.put(Value(argument));
    } else {
      to.put<Value>(*argument);  // owned by a pointer, for a parameter that is a reference
    }
  }
  template <class Value>
  static Value take(PackedArguments& from) {
    if constexpr (std::same_as<Value, std::unique_ptr<Connection>>) {
      return from.take_end();
    } else if constexpr (std::same_as<Value, Fd>) {
      return from.take_descriptor();
    } else {
      return from.take<Value>();
    }
  }
  template <class Parameter, class Value>
  static Parameter&& give(Value& value) {
    if constexpr (kIsConnection<Parameter>) {
      return static_cast<Parameter&&>(*value);
    } else {
      return static_cast<Parameter&&>(value);
    }
  }

  std::string name_;
  Result (*function_)(Parameters...);
};

template <class T>
inline constexpr bool kIsFunction = false;
template <class Result, class... Parameters>
inline constexpr bool kIsFunction<Function<Result, Parameters...>> = true;

/// As a Pool's task it is the function that it names.
template <class Result, class... Parameters>
struct TaskCode<Function<Result, Parameters...>> : TaskCode<Result (*)(Parameters...)> {
  static std::string name(const Function<Result, Parameters...>& function) { return function.name(); }
  static const void* address(const Function<Result, Parameters...>& function) {
    return TaskCode<Result (*)(Parameters...)>::address(function.target());
  }
};

}  // namespace crucible
