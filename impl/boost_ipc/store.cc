#include "boost_ipc/store.h"

#include <atomic>
#include <boost/version.hpp>
#include <charconv>
#include <mutex>
#include <new>
#include <utility>

#include "api/remote_error.h"
#include "api/status.h"
#include "boost_ipc/store_call.h"
#include "core/address.h"
#include "core/fork_registry.h"
#include "core/robust_mutex.h"
#include "core/shared_name.h"

namespace crucible {

using boost_ipc::Allocator;
using boost_ipc::Change;
using boost_ipc::Segment;
using boost_ipc::StoreCall;
using boost_ipc::StoredDict;
using boost_ipc::StoredList;
using boost_ipc::StoredObject;
using boost_ipc::StoreTurn;

/// In front of Boost's segment. All bytes zero: a new one.
struct BoostIpcStore::Shared {
  RobustMutex lock;                     // for everything below, and the segment
  std::atomic<std::uint32_t> changing;  // Change's mark
  std::atomic<std::uint32_t> broken;    // closed, or found half-changed; for good, and set without the lock too
  std::uint64_t objects;
};

struct BoostIpcStore::Contents {
  Segment segment;
};

namespace {

namespace bip = boost::interprocess;

// Boost lays its containers out as its version has it.
constexpr SharedBlock::Kind kKind = {.name = "boost store", .version = BOOST_VERSION};
constexpr std::size_t kHead = SharedBlock::kAlignment;

std::string block_name(const std::string& address) {
  const Place place = parse_address(address, BoostIpcStore::kScheme, false);
  if (place.kind != Place::Kind::kAbstract) throw BadArgument("a store has a name, not a path: boost:@name");
  return "store." + place.name;
}

std::byte* behind_head(const SharedBlock& block) { return static_cast<std::byte*>(block.data()) + kHead; }

ServerId id_of(const SharedBlock& block) {
  const std::string digits = block.id();
  ServerId id = {};
  for (std::size_t i = 0; i < id.size(); ++i) {
    unsigned char byte = 0;
    std::from_chars(&digits[2 * i], &digits[2 * i] + 2, byte, 16);
    id[i] = std::byte{byte};
  }
  return id;
}
std::string text_of(const ServerId& id) {
  std::string digits;
  for (const std::byte byte : id) {
    for (const unsigned digit : {std::to_integer<unsigned>(byte) / 16, std::to_integer<unsigned>(byte) % 16}) {
      digits += "0123456789abcdef"[digit];
    }
  }
  return digits;
}

}  // namespace

/// A call that was done before it was waited for.
class BoostIpcStore::Done final : public ObjectServer::Call {
 public:
  Done(Status status, Bytes answer) noexcept : status_(status), answer_(std::move(answer)) {}
  Status await(Bytes& answer, Deadline /*deadline*/) override {
    answer = std::move(answer_);
    return std::exchange(status_, Status::kState);
  }
  bool is_ready() override { return true; }

 private:
  Status status_;
  Bytes answer_;
};

/// Of a store that is gone: what to say about it.
class BoostIpcStore::Hold final : public ClientReferent {
 public:
  Hold(std::shared_ptr<BoostIpcStore> store, std::uint64_t object, std::string type)
      : ClientReferent({.server = store->id(), .number = object}, std::move(type)), store_(std::move(store)) {}
  Hold(const TravellingReference& gone, const ServerId& id, Status why)
      : ClientReferent({.server = id, .number = gone.number}, gone.type), why_(why) {}

  ObjectServer& server() override {
    if (store_ == nullptr) throw_status(why_, "a proxy");
    return *store_;
  }
  Bytes travel() const override {
    if (store_ == nullptr) throw_status(why_, "a proxy");
    if (store_->is_closed()) throw Broken("a proxy of a store that was closed");
    const Encoded bytes = encode(TravellingReference{.mechanism = std::string(kMechanism),
                                                     .address = store_->address(),
                                                     .server = {store_->id().begin(), store_->id().end()},
                                                     .number = name().number,
                                                     .type = type(),
                                                     .form = std::string(kForm)});
    return {bytes.view().begin(), bytes.view().end()};
  }

 private:
  const std::shared_ptr<BoostIpcStore> store_;
  const Status why_ = Status::kBroken;
};

class BoostIpcStore::Registry : public ForkRegistry<Registry, BoostIpcStore> {
 public:
  std::shared_ptr<BoostIpcStore> find(const ServerId& id) {
    const std::lock_guard lock(mutex);
    for (BoostIpcStore* const store : objects) {
      if (store->id_ != id) continue;
      if (auto living = std::static_pointer_cast<BoostIpcStore>(store->weak_from_this().lock())) return living;
    }
    return nullptr;
  }
};

BoostIpcStore::BoostIpcStore(SharedBlock block, std::string address)
    : block_(std::move(block)),
      address_(std::move(address)),
      id_(id_of(block_)),
      shared_(block_.as<Shared>()),
      contents_(std::make_unique<Contents>(
          Contents{.segment = {bip::open_only, behind_head(block_), block_.bytes() - kHead}})) {}

BoostIpcStore::~BoostIpcStore() { Registry::get().leave(this); }

std::shared_ptr<BoostIpcStore> BoostIpcStore::enter(SharedBlock block, const std::string& address) {
  std::shared_ptr<BoostIpcStore> store(new BoostIpcStore(std::move(block), address));
  Registry::get().enter(store.get());
  return store;
}

std::shared_ptr<BoostIpcStore> BoostIpcStore::create(const std::string& address, std::size_t bytes) {
  static_assert(sizeof(Shared) <= kHead);
  if (bytes < kLeastBytes) throw BadArgument("a store has at least 64 KiB");
  RobustMutex::require_supported();
  return enter(SharedBlock::create(block_name(address), kKind, kHead + bytes,
                                   [](SharedBlock& block) {
                                     const Segment made(bip::create_only, behind_head(block), block.bytes() - kHead);
                                   }),
               address);
}

std::shared_ptr<BoostIpcStore> BoostIpcStore::open(const std::string& address) {
  return enter(SharedBlock::open(block_name(address), kKind), address);
}

Reference BoostIpcStore::arrived(const TravellingReference& reference) {
  ServerId id;
  std::ranges::copy(reference.server, id.begin());
  std::shared_ptr<BoostIpcStore> store = Registry::get().find(id);
  Status why = Status::kStale;
  try {
    if (store == nullptr) {
      const std::string name = block_name(reference.address);
      try {
        store = enter(SharedBlock::open(name, kKind, SharedBlock::Access::kReadWrite, text_of(id)), reference.address);
      } catch (const NotFound&) {
        why = Status::kBroken;
        (void)SharedBlock::open(name, kKind);
        why = Status::kStale;
      }
    }
  } catch (const std::exception&) {  // its first use says it
  }
  if (store == nullptr) return Reference(std::make_shared<Hold>(reference, id, why));
  return Reference(std::make_shared<Hold>(std::move(store), reference.number, reference.type));
}

bool BoostIpcStore::is_closed() const noexcept { return shared_.broken.load(std::memory_order_acquire) != 0; }

void BoostIpcStore::close() noexcept {
  shared_.broken.store(1, std::memory_order_release);
  try {
    block_.unlink();
  } catch (const std::exception&) {  // somebody else's by now, or gone
  }
}

Reference BoostIpcStore::granted(std::uint64_t object, std::string type) {
  if (type.empty()) {  // it lies in the store as it was stored
    const auto* const stored =
        static_cast<StoredObject*>(contents_->segment.get_address_from_handle(static_cast<Segment::handle_t>(object)));
    type = stored->type == StoredObject::kDict ? "dict" : "list";
  }
  auto self = std::static_pointer_cast<BoostIpcStore>(shared_from_this());
  return Reference(std::make_shared<Hold>(std::move(self), object, std::move(type)));
}

Status BoostIpcStore::begin(std::uint64_t object, ByteView request, std::unique_ptr<Call>& call, Deadline deadline) {
  Bytes answer;
  const Status status = this->call(object, request, answer, deadline);
  const bool is_done = status == Status::kOk || status == Status::kRemote;
  if (!is_done) return status;
  call = std::make_unique<Done>(status, std::move(answer));
  return Status::kOk;
}

Status BoostIpcStore::call(std::uint64_t object, ByteView request, Bytes& answer, Deadline deadline) {
  if (request.size() > kLongestRequest) return Status::kBadLength;
  if (is_closed()) return Status::kBroken;
  const Status held = shared_.lock.acquire(deadline, RobustMutex::AtDeath::kTake, RobustMutex::kMostHeldInside);
  if (held == Status::kTimeout) return held;
  struct Release {
    RobustMutex& lock;
    ~Release() { (void)lock.release(); }
  } const release{shared_.lock};
  if (held == Status::kOwnerDied && shared_.changing.load(std::memory_order_relaxed) != 0) {
    shared_.broken.store(1, std::memory_order_release);
  }
  if (is_closed()) return Status::kBroken;
  try {
    try {
      serve(object, request, answer);
      return Status::kOk;
    } catch (const bip::bad_alloc&) {
      throw std::bad_alloc();
    }
  } catch (...) {
    const Encoded failure = encode(failure_now());
    answer.assign(failure.view().begin(), failure.view().end());
    return Status::kRemote;
  }
}

namespace {

template <class T, class Item>
std::uint64_t make(const StoreTurn& turn) {
  const Change change(turn.changing);
  T* const made =
      turn.segment.construct<T>(bip::anonymous_instance)(Allocator<Item>(turn.segment.get_segment_manager()));
  try {
    fill(*made, turn, turn.call.bytes(1));
  } catch (...) {
    turn.segment.destroy_ptr(made);
    throw;
  }
  return static_cast<std::uint64_t>(turn.segment.get_handle_from_address(made));
}

std::uint64_t make_object(const StoreTurn& turn) {
  const auto type = turn.call.get<std::string>(0);
  if (type == "dict") return make<StoredDict, boost_ipc::Item>(turn);
  if (type == "list") return make<StoredList, boost_ipc::Text>(turn);
  throw Unsupported("a store without a server has dicts and lists; '" + type + "' is neither");
}

}  // namespace

void BoostIpcStore::serve(std::uint64_t object, ByteView request, Bytes& answer) {
  const ClientScope scope(*this);
  StoreCall call(request, answer);
  const StoreTurn turn(contents_->segment, shared_.changing, call);
  if (object == kServersOwn) {
    if (call.method() == "count") return call.answer_value(shared_.objects);
    if (call.method() != "create") throw NotFound("no method '" + std::string(call.method()) + "'");
    call.answer_value(granted(make_object(turn), {}));
    ++shared_.objects;
    return;
  }
  if (object > contents_->segment.get_size() - sizeof(StoredObject)) throw NotFound("no such object");
  const auto handle = static_cast<Segment::handle_t>(object);
  auto* const stored = static_cast<StoredObject*>(contents_->segment.get_address_from_handle(handle));
  if (stored->type == StoredObject::kDict)
    return boost_ipc::serve(*static_cast<StoredDict*>(stored), boost_ipc::dict_methods(), turn);
  if (stored->type != StoredObject::kList) throw NotFound("no such object");
  boost_ipc::serve(*static_cast<StoredList*>(stored), boost_ipc::list_methods(), turn);
}

}  // namespace crucible
