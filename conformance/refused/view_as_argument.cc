// Must not compile.
#include <string_view>

#include "api/pool.h"

std::size_t length(std::string_view text) { return text.size(); }
std::size_t run(crucible::Pool& pool) { return pool.apply(&length, {"text"}); }
