"""When things happen: schedules, sensors, conditions, retries. What is made is defined in ``assets``."""
