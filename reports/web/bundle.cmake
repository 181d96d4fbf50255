# cmake -DSOURCE=reports/web -DWORK=folder -DNPM=... -DOUTPUT=charts.js -P bundle.cmake
# Bundles page.js and the used parts of ECharts into one file. Where that cannot be done (no network,
# an npm that refuses), the file is empty, the build goes on and pages have tables instead of charts.
file(GLOB sources ${SOURCE}/*.js)
file(COPY ${sources} ${SOURCE}/package.json ${SOURCE}/package-lock.json ${SOURCE}/.npmrc DESTINATION ${WORK})

function(run what)
  execute_process(COMMAND ${ARGN} WORKING_DIRECTORY ${WORK}
                  RESULT_VARIABLE result OUTPUT_VARIABLE text ERROR_VARIABLE text)
  if(result)
    string(REGEX REPLACE "\n.*" "" first_line "${text}")
    message("HTML reports without charts: ${what} failed (${first_line}). "
            "To try again: cmake -E rm ${OUTPUT}, and build.")
    file(WRITE ${OUTPUT} "")
    set(failed ON PARENT_SCOPE)
  endif()
endfunction()

# What the lock file names is there already when it is older than npm's own record of it.
set(record ${WORK}/node_modules/.package-lock.json)
if(NOT EXISTS ${record} OR ${SOURCE}/package-lock.json IS_NEWER_THAN ${record})
  run("npm ci" ${NPM} ci --ignore-scripts --prefer-offline --loglevel=error
      --fetch-retries=1 --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=5000)
  if(failed)
    return()
  endif()
endif()
# What the browsers of three years understand; ASCII, so that no encoding can go wrong.
run("esbuild" ${WORK}/node_modules/.bin/esbuild page.js --bundle --minify --format=iife --target=es2022
    --charset=ascii --log-level=error --outfile=${OUTPUT})
