// SharedMemory: bytes under a name, for processes that need not be related.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <msgpack.hpp>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include "api/status.h"
#include "core/shared_block.h"

namespace crucible {

namespace detail {

/// A mapping that goes with the last who refers to it; its block, and so its name, is used as long.
struct Mapping {
  explicit Mapping(std::shared_ptr<SharedBlock> mapped) noexcept : block(std::move(mapped)) {}
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() { block->unmap(); }

  std::shared_ptr<SharedBlock> block;
  std::atomic<bool> closed = false;
};

}  // namespace detail

/// Bytes of a SharedMemory, std::byte or const std::byte, which stay mapped for as long as a view of them lives. After
/// the memory's close() all but size() throws Closed. Copies and parts are views of their own.
template <class Byte>
class SharedView {
 public:
  std::size_t size() const noexcept { return bytes_.size(); }
  /// std::out_of_range beyond the end.
  Byte& operator[](std::size_t index) const {
    if (index >= size()) throw std::out_of_range("an index beyond the view");
    return span()[index];
  }
  /// All of them, unchecked, for as long as this view lives, whoever closes the memory meanwhile.
  std::span<Byte> span() const {
    if (mapping_->closed) throw Closed("a view of shared memory");
    return bytes_;
  }
  /// std::out_of_range unless it lies in this one.
  SharedView part(std::size_t offset, std::size_t count) const {
    if (offset > size() || count > size() - offset) throw std::out_of_range("a part beyond the view");
    return SharedView(mapping_, span().subspan(offset, count));
  }

 private:
  friend class SharedMemory;
  SharedView(std::shared_ptr<detail::Mapping> mapping, std::span<Byte> bytes) noexcept
      : mapping_(std::move(mapping)), bytes_(bytes) {}

  std::shared_ptr<detail::Mapping> mapping_;
  std::span<Byte> bytes_;
};

/// A segment of zeros that unrelated processes of one user attach by its name, which lives as SharedBlock says: as long
/// as anybody has a handle, attached or closed. Attaching makes nobody its owner, and nothing that an attaching program
/// does or dies of ends the segment for others, unless it calls unlink(). Neither copied nor moved; any thread; a
/// forked child's handle is a copy of its own. Who writes and reads at the same time must order it.
class SharedMemory {
 public:
  using Access = SharedBlock::Access;
  /// Names this very segment in a message: it is nothing but text. What has the name after it is not attached by it.
  struct Handle {
    std::string name;
    std::string id;
    MSGPACK_DEFINE(name, id)
  };

  /// Throws as SharedBlock::create(): Exists, BadArgument, std::system_error.
  static SharedMemory create(const std::string& name, std::size_t bytes) { return {name, bytes}; }
  /// Under the first free name that `propose` gives; by default a random one.
  static SharedMemory create(std::size_t bytes, const std::function<std::string()>& propose = random_name);
  /// Throw as SharedBlock::open(): NotFound, BadArgument, Auth, std::system_error.
  static SharedMemory attach(const std::string& name, Access access = Access::kReadWrite) {
    return {{name, {}}, access};
  }
  static SharedMemory attach(const Handle& handle, Access access = Access::kReadWrite) { return {handle, access}; }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory() { close(); }

  /// Kept after close().
  const std::string& name() const noexcept { return handle_.name; }
  const Handle& handle() const noexcept { return handle_; }
  std::size_t size() const noexcept { return size_; }
  bool writable() const noexcept { return access_ == Access::kReadWrite; }

  /// The bytes. Throw Closed; view() also BadArgument: attached for reading only.
  SharedView<std::byte> view() const;
  SharedView<const std::byte> const_view() const;

  /// Ends this handle's access: from now on its views throw, and the memory is unmapped with the last of them. The
  /// segment stays, and so does its name. Idempotent.
  void close() noexcept;
  bool closed() const noexcept;
  /// Removes the name, closed or not: nobody can attach any more, whoever is attached goes on. Throws NotFound: it is
  /// gone, or another's.
  void unlink() const { block_->unlink(); }

  static std::string random_name();

 private:
  friend class ShareableList;
  SharedMemory(const std::string& name, std::size_t bytes);
  SharedMemory(const Handle& handle, Access access);
  explicit SharedMemory(SharedBlock block, Access access);
  std::shared_ptr<detail::Mapping> mapping() const;

  std::shared_ptr<SharedBlock> block_;
  Handle handle_;
  std::size_t size_;
  Access access_;
  mutable std::mutex mutex_;  // guards what follows
  std::shared_ptr<detail::Mapping> mapping_;
};

}  // namespace crucible
