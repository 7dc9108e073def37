/* The caller's locale: numbers in texts are never localised, and the locale is what it was. */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "plan.h"

static char folder[] = "/tmp/eplb-locale-XXXXXX";

/* Few test machines have a locale with a decimal comma, so one is made of its only category that
 * matters. */
static int comma_locale_made(void) {
  static const char source[] =
      "LC_NUMERIC\ndecimal_point \",\"\nthousands_sep \".\"\ngrouping 3;3\nEND LC_NUMERIC\n";
  char from[64], to[64];
  FILE *file;
  pid_t child;
  if (mkdtemp(folder) == NULL) return 0;
  snprintf(from, sizeof from, "%s/source", folder);
  snprintf(to, sizeof to, "%s/comma", folder);
  file = fopen(from, "w");
  if (file == NULL) return 0;
  fputs(source, file);
  fclose(file);
  child = fork();
  if (child == 0) {
    int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, STDOUT_FILENO);
    dup2(nowhere, STDERR_FILENO);
    execlp("localedef", "localedef", "--no-archive", "-c", "-i", from, to, (char *)NULL);
    _exit(127);
  }
  /* localedef fails for the categories that are missing; setlocale shows whether it worked. */
  waitpid(child, NULL, 0);
  return 1;
}

static void remove_comma_locale(void) {
  pid_t child = fork();
  if (child == 0) {
    execlp("rm", "rm", "-rf", folder, (char *)NULL);
    _exit(127);
  }
  waitpid(child, NULL, 0);
}

static int comma_is_spoken(void) {
  char text[16];
  snprintf(text, sizeof text, "%.1f", 1.5);
  return strcmp(text, "1,5") == 0;
}

static void refusals(eplb_context *context, const input *in, char texts[5][256]) {
  double weights[16];
  eplb_split_options options;
  eplb_problem problem = in->problem;
  int i;
  for (i = 0; i < 16; i++) weights[i] = 1000000.5;
  weights[9] = -1234567.25;
  EXPECT(EPLB_INVALID_WEIGHT,
         CALL(upload_weights)(context, weights, 16, EPLB_FLOAT64, 1, 2, 8, ERR));
  strcpy(texts[0], check_last_text());
  EXPECT(EPLB_INVALID_ARGUMENT,
         CALL(upload_weights)(context, weights, 1234567, EPLB_FLOAT64, 1, 2, 8, ERR));
  strcpy(texts[1], check_last_text());
  problem.num_slots = 1000001;
  EXPECT(EPLB_INVALID_ARGUMENT, CALL(solve)(context, &problem, NULL, ERR));
  strcpy(texts[2], check_last_text());
  EXPECT(EPLB_OK, CALL(backend_info)(EPLB_DEVICE_CPU, NULL, texts[3], 256, ERR));
  EXPECT(EPLB_OK, CALL(split_options_init)(&options, sizeof options, ERR));
  options.tolerance = 1234.5;
  EXPECT(EPLB_INVALID_ARGUMENT, CALL(split)(context, &in->problem, NULL, 0, 0, &options, ERR));
  strcpy(texts[4], check_last_text());
}

static void under_a_decimal_comma(void) {
  static const float fractions[8] = {0.5f, 1.25f, 3.75f, 2.5f, 0.125f, 8.0f, 1.5f, 6.25f};
  input in = input_of(fractions, 8, 16, 8);
  eplb_context *context = context_solved(&in);
  char plain[5][256], localised[5][256], before[512];
  plan p;
  int i;
  if (context == NULL || !plan_fetch(&p, context, &in)) return;
  refusals(context, &in, plain);
  setenv("LOCPATH", folder, 1);
  setlocale(LC_NUMERIC, "comma");
  CHECK(comma_is_spoken());
  strcpy(before, setlocale(LC_ALL, NULL));
  refusals(context, &in, localised);
  for (i = 0; i < 5; i++) CHECK(strcmp(plain[i], localised[i]) == 0);
  CHECK(strstr(plain[1], "1234567") != NULL && strstr(plain[4], "1234500 / 1000") != NULL);
  plan_still_there(&p, context, &in);
  if (input_upload_and_solve(context, &in)) plan_still_there(&p, context, &in);
  CHECK(strcmp(before, setlocale(LC_ALL, NULL)) == 0);
  CHECK(comma_is_spoken());
  plan_free(&p);
  CALL(context_destroy)(context);
  input_free(&in);
}

static void numbers_are_not_localised(void) {
  char before[512], made[64];
  strcpy(before, setlocale(LC_ALL, NULL));
  snprintf(made, sizeof made, "%s/comma/LC_NUMERIC", comma_locale_made() ? folder : "/nowhere");
  if (access(made, R_OK) == 0)
    run_in_child(under_a_decimal_comma);
  else
    test_skip("localedef made no locale with a decimal comma");
  remove_comma_locale();
  CHECK(strcmp(before, setlocale(LC_ALL, NULL)) == 0);
}

void rules_locale(void) { RUN(numbers_are_not_localised); }
