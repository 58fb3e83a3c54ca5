#include "peers/redis.h"

#ifdef CRUCIBLE_HIREDIS
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "api/status.h"
#include "core/fd.h"

namespace crucible::bench {
namespace {

constexpr const char* kNoServer = "there is no redis-server here";
constexpr int kNotThere = 127;  // as a shell has it

using Context = std::unique_ptr<redisContext, decltype(&redisFree)>;
using Reply = std::unique_ptr<redisReply, decltype(&freeReplyObject)>;

/// The folder of its socket, for as long as it takes to connect.
class PrivateFolder {
 public:
  PrivateFolder() {
    if (::mkdtemp(path_.data()) == nullptr) throw_errno("mkdtemp");
  }
  PrivateFolder(const PrivateFolder&) = delete;
  PrivateFolder& operator=(const PrivateFolder&) = delete;
  ~PrivateFolder() {
    ::unlink(socket().c_str());
    ::rmdir(path_.c_str());
  }
  std::string socket() const { return path_ + "/socket"; }

 private:
  std::string path_ = "/tmp/crucible-redis-XXXXXX";
};

[[noreturn]] void become_server(const std::string& socket, pid_t parent, int output) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(EXIT_FAILURE);
  const std::vector<std::string> words = {
      "redis-server", "--port",     "0",      "--unixsocket", socket, "--unixsocketperm",
      "600",          "--save",     "",       "--appendonly", "no",   "--daemonize",
      "no",           "--loglevel", "notice", "--logfile",    ""};
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (::dup2(nothing, STDIN_FILENO) < 0 || ::dup2(output, STDOUT_FILENO) < 0 || ::dup2(nothing, STDERR_FILENO) < 0) {
    ::_exit(EXIT_FAILURE);
  }
  ::execvp("redis-server", arguments.data());
  // Debian's redis-tools has the same program under another name, and no service that starts by itself.
  ::execvp("redis-check-rdb", arguments.data());
  ::_exit(kNotThere);
}

/// Nothing of it is left in the file system once its clients have connected; it ends with its parent.
class Server {
 public:
  explicit Server(std::size_t clients) {
    const PrivateFolder folder;
    start(folder.socket());
    for (std::size_t i = 0; i <= clients; ++i) {
      contexts_.emplace_back(redisConnectUnix(folder.socket().c_str()), redisFree);
      if (!contexts_.back() || contexts_.back()->err != 0) throw std::runtime_error("cannot connect to redis-server");
    }
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() {
    if (pid_ < 0 || ::getpid() != parent_) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const noexcept { return pid_; }
  /// The parent's is the last.
  redisContext& context(std::size_t client) const { return *contexts_.at(client); }
  redisContext& parents() const { return *contexts_.back(); }

 private:
  void start(const std::string& socket) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("pipe2");
    const Fd source(ends[0]);
    Fd sink(ends[1]);
    pid_ = ::fork();
    if (pid_ < 0) throw_errno("fork");
    if (pid_ == 0) become_server(socket, parent_, sink.get());
    sink.reset();
    std::string said;
    std::array<char, 512> part{};
    while (said.find("ready to accept connections") == std::string::npos) {
      const ssize_t got = ::read(source.get(), part.data(), part.size());
      if (got <= 0) give_up();
      said.append(part.data(), static_cast<std::size_t>(got));
    }
  }
  [[noreturn]] void give_up() {
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == kNotThere) throw UnsupportedCell(kNoServer);
    throw UnsupportedCell("redis-server here does not start");
  }

  const pid_t parent_ = ::getpid();
  pid_t pid_ = -1;
  std::vector<Context> contexts_;
};

/// A command of words that may be any bytes.
template <std::size_t kWords>
void ask(redisContext& context, const std::array<std::string_view, kWords>& words) {
  std::array<const char*, kWords> texts;
  std::array<std::size_t, kWords> lengths;
  for (std::size_t i = 0; i < kWords; ++i) {
    texts[i] = words[i].data();
    lengths[i] = words[i].size();
  }
  redisAppendCommandArgv(&context, static_cast<int>(kWords), texts.data(), lengths.data());
}
Reply answer(redisContext& context) {
  void* raw = nullptr;
  const int status = redisGetReply(&context, &raw);
  Reply reply(static_cast<redisReply*>(raw), freeReplyObject);
  if (status != REDIS_OK) throw std::runtime_error(std::string("redis: ") + context.errstr);
  if (reply->type == REDIS_REPLY_ERROR) throw std::runtime_error("redis: " + std::string(reply->str, reply->len));
  return reply;
}
ByteView bytes_of(const redisReply& reply) {
  if (reply.type != REDIS_REPLY_STRING) throw VerificationError("verification failed: redis has no such value");
  return {reinterpret_cast<const std::byte*>(reply.str), reply.len};
}

struct RedisClient {
  void enter(std::size_t number) { context = &server->context(number); }
  std::shared_ptr<Server> server;
  redisContext* context = &server->parents();
};

struct RedisStore : RedisClient {
  void set(const std::string& key, const Bytes& value) {
    ask<3>(*context, {"SET", key, as_text(value)});
    (void)answer(*context);
  }
  template <class Use>
  void get(const std::string& key, Use use) {
    ask<2>(*context, {"GET", key});
    use(bytes_of(*answer(*context)));
  }
  void set_many(std::span<const std::string> keys, std::span<const Bytes> values) {
    for (std::size_t i = 0; i < keys.size(); ++i) ask<3>(*context, {"SET", keys[i], as_text(values[i])});
    for (std::size_t i = 0; i < keys.size(); ++i) (void)answer(*context);
  }
  template <class Use>
  void get_many(std::span<const std::string> keys, Use use) {
    for (const std::string& key : keys) ask<2>(*context, {"GET", key});
    for (std::size_t i = 0; i < keys.size(); ++i) use(bytes_of(*answer(*context)));
  }
};

struct RedisList : RedisClient {
  void append(const Bytes& item) {
    ask<3>(*context, {"RPUSH", "list", as_text(item)});
    (void)answer(*context);
  }
  template <class Use>
  void last(Use use) {
    ask<3>(*context, {"LINDEX", "list", "-1"});
    use(bytes_of(*answer(*context)));
  }
  std::size_t take() {
    ask<2>(*context, {"LLEN", "list"});
    const auto length = static_cast<std::size_t>(answer(*context)->integer);
    ask<2>(*context, {"DEL", "list"});
    (void)answer(*context);
    return length;
  }
};

}  // namespace

std::unique_ptr<Side> redis_side(const RedisTask& task, const Cpus& cpus) {
  const RedisClient client = {.server = std::make_shared<Server>(task.clients)};
  const Values values(task.bytes, task.entries);
  const nlohmann::json fairness = {{"interface", "hiredis, unix socket"},
                                   {"persistence", "none"},
                                   {"entries", task.entries},
                                   {"pipelined", task.what == RedisTask::What::kPipelinedDict ? kPipelined : 1}};
  const std::vector<pid_t> helpers = {client.server->pid()};
  if (task.what == RedisTask::What::kList) {
    return clients_of(AppendPlay(RedisList{client}, task.clients, values), task.clients, cpus, fairness, helpers);
  }
  RedisStore store = {client};
  for (std::uint64_t key = 0; key < task.entries; ++key) store.set(key_of(key), values.make(key));
  if (task.what == RedisTask::What::kPipelinedDict) {
    return clients_of(StorePlay<RedisStore, kPipelined>(store, task.mix, task.clients, values), task.clients, cpus,
                      fairness, helpers);
  }
  return clients_of(StorePlay<RedisStore>(store, task.mix, task.clients, values), task.clients, cpus, fairness,
                    helpers);
}

}  // namespace crucible::bench

#else

namespace crucible::bench {

std::unique_ptr<Side> redis_side(const RedisTask& /*task*/, const Cpus& /*cpus*/) {
  throw UnsupportedCell("built without hiredis");
}

}  // namespace crucible::bench
#endif
