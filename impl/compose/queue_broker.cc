// The broker's clients, and what is sent to them.
#include "compose/queue_broker.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <exception>
#include <utility>

#include "compose/queue_broker_client.h"

namespace crucible {
namespace {

using namespace std::chrono_literals;

// What a transport has not taken is tried again after so long, longer each time.
constexpr int kLongestRetryMs = 16;
// A transport may be too small for a message ever to fit it while nobody receives. Then its receiver is waited for, for
// so long at a time, and the others with it.
constexpr int kRoundsBeforePatience = 16;
constexpr auto kPatience = 2ms;
// More than one request's answers are kept for nobody.
constexpr std::size_t kMostOutgoing = 4;

}  // namespace

QueueBroker::QueueBroker(EventLoop& loop, Listener& listener, const wire::QueueId& id, const QueueBounds& bounds)
    : loop_(loop), listener_(listener), id_(id), bounds_(bounds), store_(bounds) {
  loop_.watch(listener_, [this] { welcome_newcomers(); });
}

QueueBroker::~QueueBroker() {
  loop_.forget(listener_);
  for (auto& [client, owned] : clients_) loop_.forget(*client->connection);
}

void QueueBroker::run_once() {
  const auto retry = std::chrono::milliseconds(std::min(1 << std::min(stalled_rounds_, 10), kLongestRetryMs));
  loop_.run_once(stalled_.empty() ? Deadline::never() : Deadline::after(retry));
  if (!stalled_.empty()) flush_stalled();
  for (std::unique_ptr<Client>& client : std::exchange(dropped_, {})) undertaker_.take(std::move(client->connection));
}

void QueueBroker::welcome_newcomers() {
  std::unique_ptr<Connection> connection;
  while (true) {
    const Status status = listener_.accept(connection, Deadline::immediate());
    if (status == Status::kAuth) continue;
    if (status != Status::kOk) return;
    auto owned = std::make_unique<Client>();
    Client& client = *owned;
    client.connection = std::move(connection);
    clients_[&client] = std::move(owned);
    loop_.watch(*client.connection, [this, &client] { serve(client); });
  }
}

// A client that breaks the rules, or for whose request there is no memory, is dropped; the others go on.
void QueueBroker::serve(Client& client) {
  bool is_well = false;
  try {
    is_well = receive(client);
  } catch (const std::exception&) {
  }
  if (!is_well) drop(client);
  match();
}

void QueueBroker::drop(Client& client) {
  if (std::exchange(client.is_dropped, true)) return;
  leave(client);
  std::vector<StoredMessage> undelivered;
  if (client.doing == Client::Doing::kTakingPieces) undelivered.push_back(client.message);
  if (client.doing == Client::Doing::kSendingPieces) store_.release(client.message.size);
  for (Outgoing& outgoing : client.outgoing) {
    if (outgoing.is_stored) undelivered.push_back(std::move(outgoing.message));
  }
  undelivered.insert(undelivered.end(), client.unconfirmed.begin(), client.unconfirmed.end());
  put_back(std::move(undelivered));
  if (client.is_stranger) --strangers_;
  stalled_.erase(&client);
  loop_.forget(*client.connection);
  const auto found = clients_.find(&client);
  dropped_.push_back(std::move(found->second));
  clients_.erase(found);
}

void QueueBroker::put_back(std::vector<StoredMessage> messages) {
  while (!messages.empty()) {
    store_.push_front(std::move(messages.back()));
    messages.pop_back();
  }
}

// --- Sending -------------------------------------------------------------------------------------------------

void QueueBroker::answer(Client& client, wire::Answer kind, std::uint64_t number, wire::Outcome outcome) {
  std::array<std::byte, wire::kHeader> bytes;
  wire::write_header(bytes.data(), static_cast<std::uint8_t>(kind), client.id, number,
                     static_cast<std::uint8_t>(outcome));
  if (client.outgoing.empty() && try_send(client, bytes)) return;
  if (client.is_dropped) return;
  const std::shared_ptr<std::byte[]> kept = std::make_shared<std::byte[]>(bytes.size());
  std::memcpy(kept.get(), bytes.data(), bytes.size());
  const std::shared_ptr<std::byte> at(kept, kept.get());
  send(client, {.message = {.at = at, .size = 0}, .size = bytes.size(), .is_stored = false});
}

// Also to a client that turns out to be gone: then what is stored is put back.
void QueueBroker::send(Client& client, Outgoing outgoing) {
  const ByteView bytes(outgoing.message.at.get(), outgoing.size);
  client.outgoing.push_back(std::move(outgoing));
  if (client.outgoing.size() > 1) {
    if (client.outgoing.size() > kMostOutgoing) drop(client);
  } else if (try_send(client, bytes)) {
    client.outgoing.pop_front();
  }
}

// False: not now; or never, and the client is dropped.
bool QueueBroker::try_send(Client& client, ByteView bytes, Deadline deadline) {
  Status status = Status::kBrokenPipe;
  try {
    status = client.connection->send_bytes(bytes, deadline);
  } catch (const std::exception&) {
  }
  if (status == Status::kTimeout) {
    stalled_.insert(&client);
  } else if (status != Status::kOk) {
    drop(client);
  }
  return status == Status::kOk;
}

void QueueBroker::send_pieces(Client& client) {
  while (client.doing == Client::Doing::kTakingPieces && client.window > 0 && client.outgoing.empty()) {
    const std::size_t size = std::min(wire::kMostInline, client.message.size - client.moved);
    if (!try_send(client, {client.message.payload() + client.moved, size})) return;
    client.moved += size;
    --client.window;
    if (client.moved < client.message.size) continue;
    client.doing = Client::Doing::kNothing;
    client.message = {};
  }
}

void QueueBroker::flush_stalled() {
  ++stalled_rounds_;
  const std::vector<Client*> stalled(stalled_.begin(), stalled_.end());
  for (Client* const client : stalled) {
    if (client->is_dropped) continue;
    stalled_.erase(client);
    const bool patient = stalled_rounds_ > kRoundsBeforePatience;
    const Deadline deadline = patient ? Deadline::after(kPatience) : Deadline::immediate();
    while (!client->outgoing.empty()) {
      const Outgoing& next = client->outgoing.front();
      if (!try_send(*client, {next.message.at.get(), next.size}, deadline)) break;
      client->outgoing.pop_front();
      stalled_rounds_ = 0;
    }
    if (client->is_dropped) continue;
    const std::size_t moved = client->moved;
    send_pieces(*client);
    if (client->moved != moved) stalled_rounds_ = 0;
  }
  if (stalled_.empty()) stalled_rounds_ = 0;
  match();
}

}  // namespace crucible
