// ManagedTypes: classes of the program's own whose objects a manager serves.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <msgpack.hpp>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "api/codec.h"
#include "api/status.h"

namespace crucible {

/// The arguments of one call, as they came.
class Arguments {
 public:
  explicit Arguments(std::span<const msgpack::object> objects) noexcept : objects_(objects) {}
  std::size_t size() const noexcept { return objects_.size(); }
  /// Throws std::invalid_argument: too few, or of another type.
  template <class T>
  T get(std::size_t at) const {
    if (at >= objects_.size()) throw std::invalid_argument("too few arguments: " + std::to_string(objects_.size()));
    try {
      return objects_[at].as<T>();
    } catch (const msgpack::type_error&) {
      throw std::invalid_argument("argument " + std::to_string(at + 1) + " is of another type");
    }
  }
  Arguments from(std::size_t first) const noexcept { return Arguments(objects_.subspan(first)); }
  void require_count(std::size_t count) const {
    if (size() == count) return;
    throw std::invalid_argument(std::to_string(count) + " arguments expected, not " + std::to_string(size()));
  }

 private:
  std::span<const msgpack::object> objects_;
};

/// What a method may return for its caller to step through: called until it gives nothing. managed::Generated is the
/// other side.
template <class T>
using Generator = std::function<std::optional<T>()>;

/// One class, without its type.
struct ManagedType {
  using Step = std::function<std::optional<Encoded>()>;
  /// What a method came to: its encoded value, or a generator.
  struct Result {
    std::optional<Encoded> value = {};
    Step step = {};
  };
  using Method = std::function<Result(void* object, const Arguments& arguments)>;

  std::string name;
  std::function<std::shared_ptr<void>(const Arguments&)> make = {};
  std::map<std::string, Method, std::less<>> methods = {};
};

/// A value, given to a manager before it starts. The methods of one object are called one at a time, in the server
/// process, on threads of its own: one that takes long holds up only those who call the same object.
class ManagedTypes {
 public:
  template <class T>
  class Definition {
   public:
    explicit Definition(ManagedType& type) noexcept : type_(type) {}
    /// What Manager::create(name, args...) calls; without this, T's default constructor.
    template <class... Args>
    Definition& constructor() {
      type_.make = [](const Arguments& arguments) {
        arguments.require_count(sizeof...(Args));
        return make<Args...>(arguments, std::index_sequence_for<Args...>());
      };
      return *this;
    }
    /// A member function, or a function that takes T& first (a lambda without captures by its +). Only what is named
    /// here can be called from elsewhere. Arguments and results of any type that the codec knows, and Generators.
    template <class F>
    Definition& method(const std::string& name, F function) {
      if (!type_.methods.emplace(name, bind(function)).second) {
        throw BadArgument("method '" + name + "' of '" + type_.name + "' was registered before");
      }
      return *this;
    }

   private:
    template <class R, class... Args>
    static ManagedType::Method bind(R (T::*function)(Args...)) {
      return bind<R, Args...>([function](T& object, auto&&... args) -> R {
        return (object.*function)(std::forward<decltype(args)>(args)...);
      });
    }
    template <class R, class... Args>
    static ManagedType::Method bind(R (T::*function)(Args...) const) {
      return bind<R, Args...>([function](T& object, auto&&... args) -> R {
        return (object.*function)(std::forward<decltype(args)>(args)...);
      });
    }
    template <class R, class... Args>
    static ManagedType::Method bind(R (*function)(T&, Args...)) {
      return bind<R, Args...>([function](T& object, auto&&... args) -> R {
        return function(object, std::forward<decltype(args)>(args)...);
      });
    }
    template <class R, class... Args, class F>
    static ManagedType::Method bind(F call) {
      return [call](void* object, const Arguments& arguments) {
        arguments.require_count(sizeof...(Args));
        return [&]<std::size_t... kIndex>(std::index_sequence<kIndex...> /*unused*/) {
          const auto invoke = [&]() -> R {
            return call(*static_cast<T*>(object), arguments.get<std::decay_t<Args>>(kIndex)...);
          };
          if constexpr (std::is_void_v<R>) {
            invoke();
            return ManagedType::Result{.value = encode(nullptr)};
          } else {
            return result_of(invoke());
          }
        }(std::index_sequence_for<Args...>());
      };
    }
    template <class R>
    static ManagedType::Result result_of(const R& value) {
      return {.value = encode(value)};
    }
    template <class R>
    static ManagedType::Result result_of(Generator<R> generator) {
      return {.step = [generator = std::move(generator)]() -> std::optional<Encoded> {
        const std::optional<R> item = generator();
        return item ? std::optional<Encoded>(encode(*item)) : std::nullopt;
      }};
    }
    template <class... Args, std::size_t... kIndex>
    static std::shared_ptr<void> make(const Arguments& arguments, std::index_sequence<kIndex...> /*unused*/) {
      return std::make_shared<T>(arguments.get<std::decay_t<Args>>(kIndex)...);
    }

    ManagedType& type_;
  };

  /// Throws BadArgument: the name is taken, by another class or one of the manager's own types.
  template <class T>
  Definition<T> add(const std::string& name) {
    ManagedType& type = add_type(name);
    Definition<T> definition(type);
    if constexpr (std::is_default_constructible_v<T>) definition.template constructor<>();
    return definition;
  }
  /// Null: there is none of this name.
  const ManagedType* find(std::string_view name) const;

 private:
  ManagedType& add_type(const std::string& name);

  std::map<std::string, std::shared_ptr<ManagedType>, std::less<>> types_;
};

}  // namespace crucible
