#include "core/rules/core_rules.h"

#include "core/rules/update_rule.h"

namespace trireme {

std::vector<std::shared_ptr<const UpdateRule>> core_rules() {
  std::vector<std::shared_ptr<const UpdateRule>> rules;
  for_each_rule([&]<typename Rule>() {
    rules.push_back(std::make_shared<const UpdateRule>(make_update_rule<Rule>()));
  });
  return rules;
}

}  // namespace trireme
