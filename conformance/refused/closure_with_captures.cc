// Must not compile.
#include "api/pool.h"

int run(crucible::Pool& pool, int here) {
  return pool.apply([&](int number) { return number + here; }, {1});
}
