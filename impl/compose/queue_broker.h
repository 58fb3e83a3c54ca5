// QueueBroker: in whose process a composed queue lies. README.md in this folder explains what it promises.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "api/connection.h"
#include "api/listener.h"
#include "compose/message_store.h"
#include "compose/undertaker.h"
#include "compose/wire.h"
#include "core/event_loop.h"

namespace crucible {

/// Serves the clients that come in by a listener. One thread. Never waits for a client: what one does not take at once
/// is kept for it, and as each has one request at a time, that is little.
class QueueBroker {
 public:
  QueueBroker(EventLoop& loop, Listener& listener, const wire::QueueId& id, const QueueBounds& bounds);
  ~QueueBroker();

  /// One round of the loop.
  void run_once();
  /// Whether a client that is not of the creator's family is connected.
  bool has_strangers() const noexcept { return strangers_ > 0; }

 private:
  struct Client;
  using Line = std::list<Client*>;
  struct Outgoing {
    StoredMessage message;
    std::size_t size;  ///< to be sent, from message.at on
    bool is_stored;    ///< undelivered it is the queue's again
  };

  void welcome_newcomers();
  void serve(Client& client);
  bool receive(Client& client);
  bool receive_pieces(Client& client);
  void end_long_put(Client& client, bool complete);

  bool greet(Client& client, const wire::Header& header, ByteView body);
  bool handle(Client& client, const wire::Header& header, StoredMessage message);
  bool begin(Client& client, const wire::Header& header, StoredMessage message);
  bool begin_put(Client& client, const wire::Header& header, StoredMessage message);
  bool begin_long_put(Client& client, const wire::Header& header);
  void begin_get(Client& client, const wire::Header& header);
  void begin_join(Client& client, const wire::Header& header);
  void task_done(Client& client);
  void withdraw(Client& client);

  void match();
  bool admit(Client& client);
  void admit_long(Client& client);
  void give(Client& client);
  void give_many(Client& client, StoredMessage first);
  bool fits_behind(std::size_t size) const noexcept;
  void put_back(std::vector<StoredMessage> messages);
  void leave(Client& client);

  void answer(Client& client, wire::Answer kind, std::uint64_t number = 0,
              wire::Outcome outcome = wire::Outcome::kDone);
  void send(Client& client, Outgoing outgoing);
  void send_pieces(Client& client);
  bool try_send(Client& client, ByteView bytes, Deadline deadline = Deadline::immediate());
  void flush_stalled();
  void drop(Client& client);

  EventLoop& loop_;
  Listener& listener_;
  const wire::QueueId id_;
  const QueueBounds bounds_;
  MessageStore store_;
  std::uint64_t unfinished_ = 0;  // messages put and not yet done with
  std::unordered_map<Client*, std::unique_ptr<Client>> clients_;
  std::vector<std::unique_ptr<Client>> dropped_;  // in this round
  Undertaker undertaker_;
  std::size_t strangers_ = 0;
  Line putters_;
  Line getters_;
  Line joiners_;
  std::unordered_set<Client*> stalled_;  // whose transport did not take something
  int stalled_rounds_ = 0;               // since any of them took something
};

}  // namespace crucible
