// What a composed queue's clients and its broker say to each other. README.md in this folder documents it byte by byte.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "api/bytes.h"

namespace crucible::wire {

static_assert(std::endian::native == std::endian::little);

constexpr std::uint64_t kVersion = 1;

/// In front of every message but the pieces of a long one. Little-endian.
struct Header {
  std::uint8_t kind;
  std::uint8_t flags;
  std::uint16_t zero;
  std::uint32_t id;      ///< a client's number for its request, which the answer repeats
  std::uint64_t number;  ///< what the kind says
};
constexpr std::size_t kHeader = 16;
static_assert(sizeof(Header) == kHeader);

/// From a client. Each one but kTaken, kMore and kWithdraw has exactly one answer, and is the only one under way.
enum class Request : std::uint8_t {
  kHello = 1,  ///< number: version; 16 bytes: the queue's id, or zeros for whichever it is
  kPut,        ///< the message
  kPutMany,    ///< number: how many; per message a Header with its length as number, and its bytes
  kPutLong,    ///< number: its length. After kGo its pieces follow; an empty one gives it up
  kGet,        ///< number: at most so many
  kTaken,      ///< the kItems of this id have arrived
  kMore,       ///< a piece of a long message has been received, and may be followed by another
  kWithdraw,   ///< the request of this id, unless it has been answered
  kCount,
  kFull,
  kTaskDone,
  kJoin,
};
/// Of kHello: the client was forked from the queue's creator, whose lifeline it holds.
constexpr std::uint8_t kOfTheFamily = 1;
/// Of kPut, kPutMany, kPutLong, kGet, kJoin: what cannot be done at once is not waited for.
constexpr std::uint8_t kAtOnce = 1;
/// Of kTaken: an answer is wanted.
constexpr std::uint8_t kConfirm = 1;

enum class Answer : std::uint8_t {
  kWelcome = 65,  ///< a Welcome
  kDone,          ///< flags: an Outcome; number: how many were put, or what was asked for
  kItem,          ///< the message
  kItems,         ///< as kPutMany
  kItemLong,      ///< number: its length. Its pieces follow; an empty one: it was taken back, as kNotDone
  kGo,            ///< there is room for the long message
};

/// What a request came to.
enum class Outcome : std::uint8_t { kDone = 0, kNotDone, kTooMany };

using QueueId = std::array<std::byte, 16>;

struct Welcome {
  std::uint64_t version;
  QueueId id;
  std::uint64_t maxsize;
  std::uint64_t storage_bytes;
  std::uint64_t joinable;
};

/// What is said at once: little enough for every mechanism to take it without waiting when nothing else is under way.
constexpr std::size_t kLongestMessage = std::size_t{32} * 1024 - 64;
/// Messages up to here travel behind a header, several, each with one of its own, together up to here. Longer ones go
/// in pieces of at most so many bytes.
constexpr std::size_t kMostInline = kLongestMessage - kHeader;
/// So many pieces of a long message are under way to a client before it asks for more.
constexpr std::size_t kWindow = 2;

inline Header read_header(const std::byte* from) noexcept {
  Header header;
  std::memcpy(&header, from, kHeader);
  return header;
}
inline void write_header(std::byte* to, std::uint8_t kind, std::uint32_t id, std::uint64_t number = 0,
                         std::uint8_t flags = 0) noexcept {
  const Header header = {.kind = kind, .flags = flags, .zero = 0, .id = id, .number = number};
  std::memcpy(to, &header, kHeader);
}

}  // namespace crucible::wire
