// Writes the mechanisms of this build and what they declare, in the order of the table, to the file named by its only
// argument, for what reports on them.
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "api/mechanism.h"
#include "conformance/declared.h"

int main(int, char** arguments) {
  nlohmann::ordered_json all = nlohmann::ordered_json::object();
  for (const crucible::Mechanism& mechanism : crucible::mechanisms()) {
    nlohmann::ordered_json row = {{"scheme", mechanism.scheme},
                                  {"reads_ahead", mechanism.reads_ahead},
                                  {"waits", nlohmann::json::array()},
                                  {"capabilities", crucible::testing::declared(mechanism)}};
    for (const crucible::WaitStrategy wait : mechanism.waits) row["waits"].push_back(crucible::to_string(wait));
    const auto list_forms = [&row](const char* key, const auto& forms) {
      if (!row.contains(key)) row[key] = nlohmann::ordered_json::object();
      for (const auto& form : forms) {
        nlohmann::ordered_json& waits = row[key][std::string(form.name)]["waits"];
        waits = nlohmann::json::array();
        for (const crucible::WaitStrategy wait : form.waits) waits.push_back(crucible::to_string(wait));
      }
    };
    list_forms("queues", mechanism.queues);
    list_forms("pools", mechanism.pools);
    list_forms("managers", mechanism.managers);
    list_forms("managers", mechanism.stores);
    all[std::string(mechanism.name)] = std::move(row);
  }
  std::ofstream file(arguments[1]);
  file << all.dump(1) << '\n';
  return file.flush() ? 0 : 1;
}
