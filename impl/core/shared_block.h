// SharedBlock: where an object lies that several processes use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace crucible {

class SharedName;

/// Zeroed memory, aligned to kAlignment. Each process has its own copy of the handle. Movable; any thread.
///
/// Inherited (allocate): at the same address in its creator and in all processes forked from it after, for as long as
/// any of them has its handle: who destroys his leaves the others their memory. Small blocks share mappings.
///
/// Named (create, open): for unrelated processes of one user; also inherited by fork. A name lives as long as anybody
/// uses the memory: the last to destroy its handle removes it, and what was killed leaves is removed by the next
/// program that uses names (at its first create or open), never while a live process uses it, be it stopped or in
/// another pid namespace. Objects are files of mode 0600 in directories of mode 0700 below /dev/shm, whatever the
/// umask. Each handle keeps one descriptor, by which the kernel tells that its process lives: do not close it.
class SharedBlock {
 public:
  static constexpr std::size_t kAlignment = 128;

  /// Touching it raises no SIGBUS. Throws std::system_error: no space; BadArgument: no bytes, or 2^63.
  static SharedBlock allocate(std::size_t bytes);

  /// What a named block holds. Its user raises the version with every change of the layout.
  struct Kind {
    std::string_view name;  ///< at most 31 characters
    std::uint32_t version;
  };
  using Initialise = std::function<void(SharedBlock&)>;
  /// A new object. It has its name from the moment on when it is whole and `initialise`, if any, has returned; what
  /// that throws leaves nothing. Throws Exists: somebody who lives has the name; BadArgument: no bytes, no kind, no
  /// name (1 to 200 characters without slash and NUL); std::system_error: no space, descriptors. Touching it raises no
  /// SIGBUS.
  static SharedBlock create(const std::string& name, Kind kind, std::size_t bytes, const Initialise& initialise);
  enum class Access : std::uint8_t { kReadWrite, kReadOnly };
  /// The object that somebody who lives has created. Read-only memory must not be written to (SIGSEGV). With an `id`
  /// it must be that very object. Throws NotFound; BadArgument: not a name, or an object of another kind or version;
  /// Auth: it belongs to another user; std::system_error. Whatever it throws, the object is as it was.
  static SharedBlock open(const std::string& name, Kind kind, Access access = Access::kReadWrite,
                          std::string_view id = {});

  SharedBlock();
  SharedBlock(SharedBlock&& other) noexcept;
  SharedBlock& operator=(SharedBlock&& other) noexcept;
  ~SharedBlock();

  /// Removes the name, which can then be given to another object; whoever uses this one goes on. Throws NotFound: it
  /// is gone already, or is another's by now; StateError: an inherited block.
  void unlink() const;
  /// Gives the memory back and stays a user of the name. Idempotent; named blocks only.
  void unmap() noexcept;

  std::size_t bytes() const noexcept { return bytes_; }
  void* data() const noexcept { return memory_; }
  /// Of a named block; empty otherwise. No two objects ever have the same id.
  std::string name() const;
  std::string id() const;
  /// The object of a type for which all bytes zero is a value, and whose end nobody needs to run.
  template <class T>
  T& as() const noexcept {
    static_assert(std::is_standard_layout_v<T> && std::is_trivially_destructible_v<T> && alignof(T) <= kAlignment);
    return *static_cast<T*>(memory_);
  }

 private:
  void swap(SharedBlock& other) noexcept;
  void map(std::size_t file_bytes, int protection);

  std::unique_ptr<SharedName> file_;  ///< of a named block
  void* memory_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace crucible
