// The words of a command line as a shell would pass them: quotes, backslashes, lines continued with
// a backslash, comments. Of scripts it understands what launch scripts are made of: NAME=value and
// $NAME after it, arrays of arguments (their words stand where they are written; "${NAME[@]}" adds
// nothing), and pipes and redirections, with which a command ends.
//
// Left out: every other expansion, conditions, loops. A variable that was never set is an
// InputError: nothing it stood for may be dropped.
#pragma once

#include <string>
#include <vector>

namespace moesim {

// `place` stands for the text in messages.
std::vector<std::string> shell_words(const std::string& text, const std::string& place);

}  // namespace moesim
