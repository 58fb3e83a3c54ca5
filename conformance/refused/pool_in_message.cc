// Must not compile.
#include "api/connection.h"
#include "api/pool.h"

void send_it(crucible::Connection& through, const crucible::Pool& pool) { through.send(pool); }
