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
install(DIRECTORY core distributed worker DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/trireme FILES_MATCHING PATTERN "*.h")
install(DIRECTORY examples DESTINATION ${CMAKE_INSTALL_DATADIR}/trireme FILES_MATCHING PATTERN "*.textproto")
install(EXPORT TriremeTargets NAMESPACE Trireme:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Trireme)

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/TriremeConfig.cmake.in
  ${PROJECT_BINARY_DIR}/TriremeConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Trireme)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/TriremeConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/TriremeConfig.cmake ${PROJECT_BINARY_DIR}/TriremeConfigVersion.cmake
  ${PROJECT_SOURCE_DIR}/cmake/FindoneDNN.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Trireme)
