// Catch2 2.x puts its implementation here; for 3.x, which is a library, the macro means nothing.
#define CATCH_CONFIG_RUNNER
#include "tests/catch.hpp"

int main(int argc, char* argv[]) { return Catch::Session().run(argc, argv); }
