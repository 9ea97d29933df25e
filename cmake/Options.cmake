# Compiler, warnings, sanitizers and the tools that make a build quick.

option(TRIREME_BUILD_TESTS "Build the tests" ON)
option(TRIREME_WERROR "Treat warnings as errors" ON)
option(TRIREME_BUILD_FUZZERS "Build the fuzz targets (clang only)" OFF)
set(TRIREME_SANITIZER "" CACHE STRING "Sanitizer for all code: empty, address or thread")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM)
  add_link_options(-fuse-ld=mold)
  # Before 2.4 its RELRO segment can begin on a page that is not mapped, for one program in some thousands: the loader then
  # refuses to start it ("cannot apply additional memory protection", mold issue 1151).
  execute_process(COMMAND ${MOLD_PROGRAM} --version OUTPUT_VARIABLE mold_says)
  string(REGEX MATCH "mold ([0-9.]+)" _ "${mold_says}")
  if(CMAKE_MATCH_1 VERSION_LESS 2.4)
    add_link_options(-Wl,-z,norelro)
  endif()
endif()

# One group of flags for our own targets; headers of libraries come in as SYSTEM and are not warned about.
add_library(trireme_options INTERFACE)
target_compile_options(trireme_options INTERFACE -Wall -Wextra -Wpedantic -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # GCC 12 warns of std::string::operator+ and of its own AVX-512 intrinsics (GCC bugs 105651 and 105593).
  target_compile_options(trireme_options INTERFACE -Wno-restrict -Wno-maybe-uninitialized)
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  target_compile_options(trireme_options INTERFACE -Wthread-safety)
endif()
if(TRIREME_WERROR)
  target_compile_options(trireme_options INTERFACE -Werror)
endif()

if(TRIREME_SANITIZER)
  add_compile_options(-fsanitize=${TRIREME_SANITIZER} -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=${TRIREME_SANITIZER})
  if(TRIREME_SANITIZER STREQUAL "address")
    add_compile_options(-fsanitize=undefined -fno-sanitize-recover=undefined)
    add_link_options(-fsanitize=undefined)
  endif()
endif()

if(TRIREME_BUILD_FUZZERS)
  # Coverage for libFuzzer in every library, not only in the targets.
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
