# trireme_library(NAME [DEPENDS ours…] [LIBRARIES others…]): one target a folder, from all its .cc files.
# DEPENDS are the arrows of the architecture and are public; LIBRARIES appear in .cc files only and stay private.
function(trireme_library name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;LIBRARIES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  add_library(${name} STATIC ${sources})
  add_library(Trireme::${name} ALIAS ${name})
  target_include_directories(${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<INSTALL_INTERFACE:include/trireme>)
  target_link_libraries(${name} PUBLIC ${ARG_DEPENDS} PRIVATE $<BUILD_INTERFACE:trireme_options> ${ARG_LIBRARIES})
  target_compile_features(${name} PUBLIC cxx_std_20)
  set_property(GLOBAL APPEND PROPERTY TRIREME_LIBRARIES ${name})
endfunction()

# What every test runs with. They run side by side: compute threads that wait sleep at once. Under ThreadSanitizer libraries
# that are not instrumented (gRPC, Open MPI) are left out, since how their threads synchronise is out of its sight.
set(TRIREME_TEST_ENVIRONMENT "OMP_WAIT_POLICY=passive")
if(TRIREME_SANITIZER STREQUAL "thread")
  list(APPEND TRIREME_TEST_ENVIRONMENT "TSAN_OPTIONS=ignore_noninstrumented_modules=1:suppressions=${PROJECT_SOURCE_DIR}/cmake/tsan.supp")
endif()

# Where tests of real data find them when TRIREME_DATA_DIR does not say it.
set(TRIREME_TEST_DATA_DIR "${PROJECT_SOURCE_DIR}/../shared/data" CACHE PATH "Folder with mnist/ and cifar10/ for tests")

# trireme_test(NAME SOURCES… [DEPENDS targets…] [LABELS …] [TIMEOUT seconds] [SERIAL] [FAKE_CUDA]): one GoogleTest program.
# SERIAL: it counts what is left on the machine (/dev/shm), so no other test may run beside it. FAKE_CUDA: it finds the
# libraries of tests/support/fake_cuda in place of the GPU's, but for a build without CUDA; and scripts/gpu_check, which finds it by the label
# `gpu`, runs it on a card.
function(trireme_test name)
  cmake_parse_arguments(ARG "SERIAL;FAKE_CUDA" "TIMEOUT" "SOURCES;DEPENDS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} trireme_options GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE TRIREME_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  add_test(NAME ${name} COMMAND ${name})
  set(environment ${TRIREME_TEST_ENVIRONMENT})
  if(ARG_FAKE_CUDA)
    list(APPEND ARG_LABELS gpu)
  endif()
  if(ARG_FAKE_CUDA AND TRIREME_WITH_CUDA)
    list(APPEND environment "LD_LIBRARY_PATH=${CMAKE_BINARY_DIR}/fake_cuda" "TRIREME_EXPECT_FAKE_CUDA=1")
    add_dependencies(${name} fake_cuda)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}" ENVIRONMENT "${environment}")
  if(ARG_SERIAL)
    set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
  endif()
endfunction()

# trireme_fuzzer(NAME SOURCES… [DEPENDS targets…]): one libFuzzer program. Only with TRIREME_BUILD_FUZZERS, which needs
# clang; build with -DTRIREME_SANITIZER=address.
function(trireme_fuzzer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  if(NOT TRIREME_BUILD_FUZZERS)
    return()
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_compile_options(${name} PRIVATE -fsanitize=fuzzer)
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} trireme_options)
endfunction()
