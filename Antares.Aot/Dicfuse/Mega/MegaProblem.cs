global using MegaProblem = Antares.Aot.Dicfuse.Web.WebProblem;
