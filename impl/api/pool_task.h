// What a Pool's workers run: functions, how their arguments reach them, and what comes back.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "api/bytes.h"
#include "api/codec.h"
#include "api/remote_error.h"

namespace crucible {

/// A call for a worker. One that is a fork of this program has the same code at the same addresses; another one finds
/// functions by their names.
struct PoolTask {
  /// Decodes the arguments, makes the call, encodes its result. Throws what the call throws.
  using Code = Encoded (*)(const void* function, ByteView arguments);
  Code code = nullptr;
  const void* function = nullptr;  ///< for `code`, which knows its type; null for closures
  Bytes arguments;
  std::string name = {};  ///< of a crucible::Function
  bool is_chunk = false;
};

/// Result and parameters of a task of type F.
template <class F>
struct TaskTraits {
  static_assert(requires { &F::operator(); }, "a task's parameters have types of their own: no auto, no overloads");
};
template <class R, class... P>
struct TaskTraits<R (*)(P...)> {
  static_assert(((!std::is_pointer_v<std::decay_t<P>> && !std::is_same_v<std::decay_t<P>, std::string_view>) && ...),
                "another process is given values: std::string instead of a pointer or a view");
  using Result = std::remove_cvref_t<R>;
  using Arguments = std::tuple<std::decay_t<P>...>;  ///< as they travel

  template <class Call>
  static R call(Call& function, Arguments& arguments) {
    return std::apply([&](auto&... value) -> R { return function(static_cast<P&&>(value)...); }, arguments);
  }
};
template <class R, class... P>
struct TaskTraits<R (*)(P...) noexcept> : TaskTraits<R (*)(P...)> {};
template <class C, class R, class... P>
struct TaskTraits<R (C::*)(P...) const> : TaskTraits<R (*)(P...)> {};
template <class C, class R, class... P>
struct TaskTraits<R (C::*)(P...)> : TaskTraits<R (*)(P...)> {};
template <class C, class R, class... P>
struct TaskTraits<R (C::*)(P...) const noexcept> : TaskTraits<R (*)(P...)> {};
template <class C, class R, class... P>
struct TaskTraits<R (C::*)(P...) noexcept> : TaskTraits<R (*)(P...)> {};
template <class F>
  requires requires { &F::operator(); }
struct TaskTraits<F> : TaskTraits<decltype(&F::operator())> {};

template <class F>
using TaskArguments = typename TaskTraits<std::decay_t<F>>::Arguments;
template <class F>
using TaskResult = typename TaskTraits<std::decay_t<F>>::Result;
/// The only parameter of a task that is mapped over a range.
template <class F>
using TaskElement = std::tuple_element_t<0, TaskArguments<F>>;
/// What travels for a result: nothing travels as null.
template <class R>
using TaskValue = std::conditional_t<std::is_void_v<R>, std::nullptr_t, R>;
/// One call of a chunk: its result, or what it threw.
template <class R>
using ChunkItem = std::variant<TaskValue<R>, Failure>;

/// The worker's side of tasks of type F; core/function.h adds those of crucible::Function.
template <class F>
struct TaskCode {
  static constexpr bool kIsPointer = std::is_pointer_v<F>;
  static_assert(kIsPointer || (std::is_empty_v<F> && std::is_default_constructible_v<F>),
                "a task is a function or a closure without captures: give what it needs as arguments");
  using Traits = TaskTraits<F>;
  using Result = typename Traits::Result;
  using Arguments = typename Traits::Arguments;

  static std::string name(const F& /*function*/) { return {}; }
  /// For PoolTask::function.
  static const void* address([[maybe_unused]] const F& function) {
    if constexpr (kIsPointer) {
      return reinterpret_cast<const void*>(function);
    } else {
      return nullptr;
    }
  }

  static Encoded one(const void* function, ByteView arguments) {
    auto values = decode<Arguments>(arguments);
    return encode(call(function, values));
  }

  /// Every call of it, whatever the others throw.
  static Encoded chunk(const void* function, ByteView arguments) {
    std::vector<ChunkItem<Result>> items;
    for (Arguments& values : decode<std::vector<Arguments>>(arguments)) {
      try {
        items.emplace_back(std::in_place_index<0>, call(function, values));
      } catch (...) {
        items.emplace_back(std::in_place_index<1>, failure_now());
      }
    }
    try {
      return encode(items);
    } catch (const EncodingError&) {
      for (ChunkItem<Result>& item : items) replace_unencodable(item);
      return encode(items);
    }
  }

 private:
  static TaskValue<Result> call(const void* function, Arguments& values) {
    F target = [function] {
      if constexpr (kIsPointer) {
        return reinterpret_cast<F>(const_cast<void*>(function));
      } else {
        return F{};
      }
    }();
    if constexpr (std::is_void_v<Result>) {
      Traits::call(target, values);
      return nullptr;
    } else {
      return Traits::call(target, values);
    }
  }

  static void replace_unencodable(ChunkItem<Result>& item) {
    try {
      (void)encode(item);
    } catch (const EncodingError&) {
      item.template emplace<1>(failure_now());
    }
  }
};

/// Throws EncodingError.
template <class F>
PoolTask make_task(const F& function, bool is_chunk, const Encoded& arguments) {
  PoolTask task = {.code = is_chunk ? &TaskCode<F>::chunk : &TaskCode<F>::one,
                   .function = TaskCode<F>::address(function),
                   .arguments = {},
                   .name = TaskCode<F>::name(function),
                   .is_chunk = is_chunk};
  task.arguments.assign(arguments.view().begin(), arguments.view().end());
  return task;
}

}  // namespace crucible
