// The one file that knows which Catch2 is installed: 2.13 and 3.x differ in header and namespace.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;
#elif __has_include(<catch2/catch.hpp>)
#include <catch2/catch.hpp>
#else
#error "Catch2 2.13 or 3.x is needed (Debian: apt-get install catch2)"
#endif
