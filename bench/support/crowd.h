// Several client processes at one server process.
//
// A Service plays one part in each process of a crowd:
//   std::string open();                  the server's: opens the door; its address
//   void admit(std::size_t clients);     the server's: lets those in who stay
//   void serve(std::uint64_t operations) the server's: answers so many, whoever they come from
//   void enter(const std::string&)       a client's
//   std::int64_t act()                   a client's: one operation, verified; the nanoseconds of what counts of it
//   nlohmann::json fairness() const
#pragma once

#include <algorithm>
#include <array>
#include <climits>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "api/deadline.h"
#include "core/inherited.h"
#include "limits/futex_word.h"
#include "support/side.h"
#include "support/transfer.h"
#include "support/worker.h"

namespace crucible::bench {

/// An operation of the crowd is one of each client; they start together and none waits for another.
template <class Service>
class Crowd final : public Side {
 public:
  Crowd(const Service& service, std::size_t clients, const Cpus& cpus)
      : fairness_(service.fairness()),
        board_(make_inherited<Board>(1, [](Board* at) { new (at) Board; })),
        latencies_(make_inherited<std::int64_t>(clients * kMostOperations, [](std::int64_t* /*untouched*/) {})) {
    server_ = std::make_unique<Worker>(cpus ? std::optional(cpus->first) : std::nullopt,
                                       [&](Post& post) { run_server(service, clients, *board_.get(), post); });
    (void)server_->await();
    for (std::size_t i = 0; i < clients; ++i) {
      clients_.push_back(std::make_unique<Worker>(cpus ? std::optional(cpus->second) : std::nullopt, [&](Post& post) {
        run_client(service, *board_.get(), latencies_.get(), i, post);
      }));
    }
    for (const auto& client : clients_) (void)client->await();
    (void)server_->await();
  }

  Block run(std::uint64_t operations) override {
    try {
      return run_block(operations);
    } catch (const VerificationError&) {
      throw;
    } catch (const std::exception&) {
      server_->blame();  // its end is the end of all clients
      throw;
    }
  }
  std::uint64_t fewest_operations() const override { return std::max<std::uint64_t>(4, 20 / clients_.size()); }
  nlohmann::json fairness() const override { return fairness_; }

 private:
  struct Board {
    std::array<char, 256> address{};
    FutexWord started = 0;  ///< blocks
  };

  Block run_block(std::uint64_t operations) {
    server_->order(operations);
    for (const auto& client : clients_) client->order(operations);
    for (const auto& client : clients_) (void)client->await();
    const std::int64_t start = Deadline::now_ns();
    board_[0].started.fetch_add(1, std::memory_order_release);
    futex_wake(board_[0].started, INT_MAX);
    Usage usage;
    std::int64_t end = start;
    for (const auto& client : clients_) {
      const Answer answer = client->await();
      usage += answer.usage;
      end = std::max(end, answer.end_ns);
    }
    usage += server_->await().usage;
    return {.elapsed_ns = end - start,
            .usage = usage,
            .latencies = std::span(latencies_.get(), clients_.size() * operations)};
  }

  static void run_server(Service service, std::size_t clients, Board& board, Post& post) {
    const std::string address = service.open();
    if (address.size() >= board.address.size()) throw std::length_error("too long an address: " + address);
    std::memcpy(board.address.data(), address.data(), address.size());
    post.answer();
    service.admit(clients);
    post.answer();
    while (const std::uint64_t operations = post.next_block()) {
      service.serve(clients);
      const Usage before = Usage::now();
      service.serve(clients * operations);
      post.answer({.usage = Usage::now() - before});
    }
  }

  static void run_client(Service service, Board& board, std::int64_t* latencies, std::size_t number, Post& post) {
    service.enter(board.address.data());
    post.answer();
    std::uint32_t blocks = 0;
    while (const std::uint64_t operations = post.next_block()) {
      (void)service.act();
      post.answer();
      while (board.started.load(std::memory_order_acquire) == blocks) futex_wait(board.started, blocks);
      ++blocks;
      const Usage before = Usage::now();
      for (std::uint64_t i = 0; i < operations; ++i) latencies[number * operations + i] = service.act();
      const std::int64_t end_ns = Deadline::now_ns();
      post.answer({.usage = Usage::now() - before, .end_ns = end_ns});
    }
  }

  nlohmann::json fairness_;
  std::shared_ptr<Board[]> board_;
  std::shared_ptr<std::int64_t[]> latencies_;
  std::unique_ptr<Worker> server_;
  std::vector<std::unique_ptr<Worker>> clients_;
};

}  // namespace crucible::bench
