# cmake --install: the program, the headers, the libraries and a package for find_package(Trireme).

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

get_property(libraries GLOBAL PROPERTY TRIREME_LIBRARIES)

# What an outside program links: everything, under one name.
add_library(trireme_all INTERFACE)
set_target_properties(trireme_all PROPERTIES EXPORT_NAME Trireme)
add_library(Trireme::Trireme ALIAS trireme_all)
target_link_libraries(trireme_all INTERFACE launcher)

install(TARGETS trireme_all ${libraries} EXPORT TriremeTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}/trireme
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR}
)
install(TARGETS trireme RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

# The headers that programs include, and what these include. All others are private.
set(TRIREME_PUBLIC_HEADERS
  core/base/error.h core/base/logging.h core/base/parallel.h core/base/philox.h
  core/catalog/catalog.h
  core/data/cifar10.h core/data/clicks.h core/data/csv.h core/data/dataset.h core/data/digits.h core/data/idx.h core/data/source.h
  core/data/text.h
  core/data/example_parser.h core/data/example_writer.h core/data/image_feature.h core/data/npy.h core/data/tfrecord.h
  core/data/text_lines.h
  core/device/elementwise_op.h core/device/kernel.h
  core/eager/function.h core/eager/ops.h core/eager/tape.h
  core/graph/gradient_context.h core/graph/graph.h core/graph/op_def.h core/graph/print.h
  core/io/checkpoint.h core/io/tensor_bundle.h
  core/nn/callbacks.h core/nn/catalogs.h core/nn/click_layers.h core/nn/layers.h core/nn/model.h core/nn/optimizers.h
  core/nn/residual_layers.h
  core/ops/ops.h
  core/rules/update_rule.h
  core/runtime/built_in_kernels.h core/runtime/device_options.h core/runtime/session.h
  distributed/cluster/cluster_spec.h distributed/collective/make_communicator.h distributed/strategy/strategy.h
  launcher/command_line.h
)
function(trireme_install_headers)
  set(left ${ARGN})
  set(seen "")
  while(left)
    list(POP_FRONT left header)
    if(header IN_LIST seen)
      continue()
    endif()
    list(APPEND seen ${header})
    get_filename_component(folder ${header} DIRECTORY)
    install(FILES ${PROJECT_SOURCE_DIR}/${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/trireme/${folder})
    file(STRINGS ${PROJECT_SOURCE_DIR}/${header} includes REGEX "^#include \"")
    foreach(line ${includes})
      string(REGEX REPLACE "^#include \"([^\"]*)\".*" "\\1" included "${line}")
      list(APPEND left ${included})
    endforeach()
  endwhile()
endfunction()
trireme_install_headers(${TRIREME_PUBLIC_HEADERS})

install(DIRECTORY examples DESTINATION ${CMAKE_INSTALL_DATADIR}/trireme FILES_MATCHING PATTERN "*.textproto")
install(EXPORT TriremeTargets NAMESPACE Trireme:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Trireme)

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/TriremeConfig.cmake.in
  ${PROJECT_BINARY_DIR}/TriremeConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Trireme)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/TriremeConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/TriremeConfig.cmake ${PROJECT_BINARY_DIR}/TriremeConfigVersion.cmake
  ${PROJECT_SOURCE_DIR}/cmake/FindoneDNN.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Trireme)
