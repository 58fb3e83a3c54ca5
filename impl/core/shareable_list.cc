#include "core/shareable_list.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "api/status.h"

namespace crucible {
namespace {

constexpr SharedBlock::Kind kKind = {"list", 1};

// In front: the number of slots, the slots. Then two cells per slot: a head word (kind and length), the bytes.
struct Slot {
  std::uint64_t cells;     // where they begin
  std::uint64_t capacity;  // bytes of text in a cell, a multiple of the word
  std::uint64_t version;   // its lowest bit says which cell holds the value; the other one is the next writer's
};
using Word = std::uint64_t;
constexpr std::size_t kWord = sizeof(Word);
constexpr unsigned kKindShift = 56;
constexpr Word kLengthMask = (Word{1} << kKindShift) - 1;

// What a value is in a cell.
enum class Kind : std::uint8_t { kNull, kBool, kInt, kUint, kDouble, kString, kBytes };
struct Cell {
  Kind kind;
  std::string bytes;
};

template <class T>
std::string bytes_of(const T& value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

Cell to_cell(const Object& object) {
  return std::visit(
      []<class T>(const T& value) -> Cell {
        if constexpr (std::is_same_v<T, std::nullptr_t>) {
          return {Kind::kNull, {}};
        } else if constexpr (std::is_same_v<T, bool>) {
          return {Kind::kBool, bytes_of(value)};
        } else if constexpr (std::is_same_v<T, std::int64_t>) {
          return {Kind::kInt, bytes_of(value)};
        } else if constexpr (std::is_same_v<T, std::uint64_t>) {
          return {Kind::kUint, bytes_of(value)};
        } else if constexpr (std::is_same_v<T, double>) {
          return {Kind::kDouble, bytes_of(value)};
        } else if constexpr (std::is_same_v<T, std::string>) {
          return {Kind::kString, value};
        } else if constexpr (std::is_same_v<T, Bytes>) {
          return {Kind::kBytes, std::string(as_text(value))};
        } else {
          throw BadArgument("a shareable list holds no lists and dicts");
        }
      },
      object.value());
}

template <class T>
Object number(const std::string& bytes) {
  if (bytes.size() != sizeof(T)) throw EncodingError("a shareable list was damaged");
  std::array<char, sizeof(T)> exact = {};
  std::copy(bytes.begin(), bytes.end(), exact.begin());
  if constexpr (std::is_same_v<T, bool>) {
    return exact.front() != 0;
  } else {
    return std::bit_cast<T>(exact);
  }
}

Object to_object(Cell cell) {
  switch (cell.kind) {
    case Kind::kNull: return nullptr;
    case Kind::kBool: return number<bool>(cell.bytes);
    case Kind::kInt: return number<std::int64_t>(cell.bytes);
    case Kind::kUint: return number<std::uint64_t>(cell.bytes);
    case Kind::kDouble: return number<double>(cell.bytes);
    case Kind::kString: return std::move(cell.bytes);
    case Kind::kBytes: {
      const ByteView bytes = as_bytes(cell.bytes);
      return Bytes(bytes.begin(), bytes.end());
    }
  }
  throw EncodingError("a shareable list was damaged");
}

constexpr std::size_t whole_words(std::size_t bytes) { return (bytes + kWord - 1) / kWord * kWord; }

// Whole words and each at once, since others may read or write them at the same time.
std::atomic_ref<Word> word_at(const std::byte* at) {
  return std::atomic_ref(*reinterpret_cast<Word*>(const_cast<std::byte*>(at)));  // a load writes nothing
}

class Slots {
 public:
  explicit Slots(const std::byte* base) : base_(base) {}

  static std::size_t table_bytes(std::size_t count) { return kWord + count * sizeof(Slot); }
  static std::size_t cells_bytes(std::size_t capacity) { return 2 * (kWord + capacity); }
  Slot facts(std::size_t index) const {
    Slot slot = {};
    std::memcpy(&slot, at(index), offsetof(Slot, version));
    return slot;
  }

  Cell read(std::size_t index) const {
    const Slot slot = facts(index);
    const std::atomic_ref<Word> version = version_of(index);
    while (true) {
      const Word before = version.load(std::memory_order_acquire);
      const std::byte* const cell = cell_at(slot, before);
      const Word head = word_at(cell).load(std::memory_order_relaxed);
      const std::size_t length = head & kLengthMask;
      Cell copy = {static_cast<Kind>(head >> kKindShift), {}};
      if (length <= slot.capacity) copy.bytes = load(cell + kWord, length);
      // Whoever overwrites the cell has made the next version before: then it shows here.
      std::atomic_thread_fence(std::memory_order_acquire);
      if (version.load(std::memory_order_relaxed) != before) continue;
      if (length > slot.capacity) throw EncodingError("a shareable list was damaged");
      return copy;
    }
  }

  void write(std::size_t index, const Cell& value) const {
    const Slot slot = facts(index);
    const std::atomic_ref<Word> version = version_of(index);
    const Word next = version.load(std::memory_order_relaxed) + 1;
    std::atomic_thread_fence(std::memory_order_release);  // see read()
    const std::byte* const cell = cell_at(slot, next);
    word_at(cell).store((static_cast<Word>(value.kind) << kKindShift) | value.bytes.size(), std::memory_order_relaxed);
    for (std::size_t done = 0; done < value.bytes.size(); done += kWord) {
      Word word = 0;
      std::memcpy(&word, value.bytes.data() + done, std::min(kWord, value.bytes.size() - done));
      word_at(cell + kWord + done).store(word, std::memory_order_relaxed);
    }
    version.store(next, std::memory_order_release);
  }

 private:
  const std::byte* at(std::size_t index) const { return base_ + table_bytes(index); }
  std::atomic_ref<Word> version_of(std::size_t index) const { return word_at(at(index) + offsetof(Slot, version)); }
  const std::byte* cell_at(const Slot& slot, Word version) const {
    return base_ + slot.cells + (version & 1U) * (kWord + slot.capacity);
  }
  static std::string load(const std::byte* from, std::size_t length) {
    std::string bytes(whole_words(length), '\0');
    for (std::size_t done = 0; done < length; done += kWord) {
      const Word word = word_at(from + done).load(std::memory_order_relaxed);
      std::memcpy(bytes.data() + done, &word, kWord);
    }
    bytes.resize(length);
    return bytes;
  }

  const std::byte* base_;
};

SharedBlock make(const std::string& name, std::span<const Object> items) {
  std::vector<Cell> cells;
  std::vector<Slot> slots;
  std::size_t bytes = Slots::table_bytes(items.size());
  for (const Object& item : items) {
    cells.push_back(to_cell(item));
    slots.push_back({bytes, std::max(kWord, whole_words(cells.back().bytes.size())), 0});
    bytes += Slots::cells_bytes(slots.back().capacity);
  }
  return SharedBlock::create(name, kKind, bytes, [&](SharedBlock& block) {
    auto* const base = static_cast<std::byte*>(block.data());
    const Word count = items.size();
    std::memcpy(base, &count, kWord);
    if (!slots.empty()) std::memcpy(base + kWord, slots.data(), slots.size() * sizeof(Slot));
    for (std::size_t i = 0; i < cells.size(); ++i) Slots(base).write(i, cells[i]);
  });
}

// The number of items. Checked once, so that what a slot says can be trusted afterwards.
std::size_t checked_count(ByteView memory) {
  Word count = 0;
  if (memory.size() >= kWord) std::memcpy(&count, memory.data(), kWord);
  bool sound = memory.size() >= kWord && count <= (memory.size() - kWord) / sizeof(Slot);
  for (std::size_t i = 0; sound && i < count; ++i) {
    const Slot slot = Slots(memory.data()).facts(i);
    sound = slot.cells % kWord == 0 && slot.capacity % kWord == 0 && slot.cells <= memory.size() &&
            slot.capacity <= memory.size() && Slots::cells_bytes(slot.capacity) <= memory.size() - slot.cells;
  }
  if (!sound) throw BadArgument("attach: a damaged shareable list");
  return count;
}

}  // namespace

ShareableList ShareableList::create(std::span<const Object> items) {
  while (true) {
    try {
      return {SharedMemory::random_name(), items};
    } catch (const Exists&) {  // then the next one
    }
  }
}

ShareableList::ShareableList(const std::string& name, std::span<const Object> items)
    : memory_(make(name, items), Access::kReadWrite), count_(items.size()) {}

ShareableList::ShareableList(const Handle& handle, Access access)
    : memory_(SharedBlock::open(handle.name, kKind, access, handle.id), access),
      count_(checked_count(memory_.const_view().span())) {}

std::size_t ShareableList::position(std::ptrdiff_t index) const {
  const std::ptrdiff_t from_start = index < 0 ? index + static_cast<std::ptrdiff_t>(count_) : index;
  if (from_start < 0 || from_start >= static_cast<std::ptrdiff_t>(count_)) {
    throw std::out_of_range("an index beyond the list");
  }
  return static_cast<std::size_t>(from_start);
}

Object ShareableList::get(std::ptrdiff_t index) const {
  const auto view = memory_.const_view();
  return to_object(Slots(view.span().data()).read(position(index)));
}

void ShareableList::set(std::ptrdiff_t index, const Object& value) {
  const auto view = memory_.view();
  const Slots slots(view.span().data());
  const std::size_t at = position(index);
  const Cell cell = to_cell(value);
  if (cell.bytes.size() > slots.facts(at).capacity) throw BadArgument("set: a text longer than its place in the list");
  slots.write(at, cell);
}

std::size_t ShareableList::capacity(std::ptrdiff_t index) const {
  const auto view = memory_.const_view();
  return Slots(view.span().data()).facts(position(index)).capacity;
}

std::vector<Object> ShareableList::items() const {
  const auto view = memory_.const_view();
  const Slots slots(view.span().data());
  std::vector<Object> all;
  for (std::size_t i = 0; i < count_; ++i) all.push_back(to_object(slots.read(i)));
  return all;
}

std::optional<std::size_t> ShareableList::find(const Object& value) const {
  const std::vector<Object> all = items();
  const auto found = std::find(all.begin(), all.end(), value);
  if (found == all.end()) return std::nullopt;
  return static_cast<std::size_t>(found - all.begin());
}

std::size_t ShareableList::count(const Object& value) const {
  const std::vector<Object> all = items();
  return static_cast<std::size_t>(std::count(all.begin(), all.end(), value));
}

}  // namespace crucible
